# The HTTP service. No torch and no NumPy: what it needs is the `service` and `postgres` extras alone.
FROM python:3.13.7-slim-bookworm

WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY api api
COPY contracts contracts
COPY migrations migrations
COPY offhand offhand
COPY store store
# The built-in generators are listed from their folder, which is read and never imported.
COPY core/generators/shipped generators
RUN pip install --no-cache-dir -e ".[service,postgres]" \
    && useradd --create-home --uid 10001 offhand \
    && install -d -o offhand /data

# By number, so that a host can tell that it is not root.
USER 10001
ENV HOME=/tmp OFFHAND_HOME=/data OFFHAND_GENERATORS_FOLDER=/app/generators PYTHONUNBUFFERED=1
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8321/healthz', timeout=2)"]
CMD ["python", "-m", "api"]
