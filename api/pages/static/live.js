// While a job is active the page fetches itself and swaps its main part; without JavaScript it is simply as it was.
"use strict";

async function refresh() {
  const shown = document.getElementById("live");
  if (shown.dataset.active !== "true" || document.hidden) return;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
    if (fresh && fresh.innerHTML !== shown.innerHTML) {
      shown.innerHTML = fresh.innerHTML;
      shown.dataset.active = fresh.dataset.active;
    }
  } catch {
    // The service is away; the next turn asks again.
  }
}

setInterval(refresh, 2000);
