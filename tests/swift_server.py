"""OpenStack Swift behind its s3api: proxy, account, container and object servers on one folder, one replica."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from pathlib import Path

from store.settings import ObjectSettings
from tests.servers import Server, ServerMissing, bucket_settings, free_port, replies

#: Where `pip install swift` put its programs, where that is not the path: it wants no place beside other packages.
VARIABLE = "OFFHAND_SWIFT_BIN"
_KINDS = ("account", "container", "object")
_HASH = "[swift-hash]\nswift_hash_path_suffix = test\n"
_BACKEND = """[DEFAULT]
swift_dir = {etc}
devices = {devices}
mount_check = false
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
log_name = {kind}
log_address = /nowhere
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""
_PROXY = """[DEFAULT]
swift_dir = {etc}
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
log_address = /nowhere
[pipeline:main]
pipeline = catch_errors gatekeeper proxy-logging listing_formats s3api tempauth copy slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:proxy-logging]
use = egg:swift#proxy_logging
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
"""


class SwiftServer(Server):
    """An empty Swift. `.url` is what an endpoint setting takes."""

    name = "swift"

    def __init__(self) -> None:
        where = os.environ.get(VARIABLE) or None
        proxy = shutil.which("swift-proxy-server", path=where)
        if proxy is None:
            raise ServerMissing(
                f"swift is not installed (pip install swift, in a place of its own that {VARIABLE} names)"
            )
        super().__init__()
        self.url = f"http://127.0.0.1:{self.port}"
        self._programs = Path(proxy).parent
        self._etc, devices = self.folder / "etc", self.folder / "devices"
        self._etc.mkdir()
        (devices / "d1").mkdir(parents=True)
        (self._etc / "swift.conf").write_text(_HASH)
        self._backends: list[subprocess.Popen[bytes]] = []
        self._ports = [self.port]
        place = {"etc": self._etc, "devices": devices, "user": getpass.getuser()}
        for kind in _KINDS:
            port = free_port()
            self._ports.append(port)
            (self._etc / f"{kind}.conf").write_text(_BACKEND.format(kind=kind, port=port, **place))
            ring = [self._programs / "swift-ring-builder", self._etc / f"{kind}.builder"]
            subprocess.run([*ring, "create", "4", "1", "0"], check=True, stdout=subprocess.DEVNULL)
            device = ["--region", "1", "--zone", "1", "--ip", "127.0.0.1", "--port", str(port), "--device", "d1"]
            subprocess.run([*ring, "add", *device, "--weight", "1"], check=True, stdout=subprocess.DEVNULL)
            subprocess.run([*ring, "rebalance"], check=True, stdout=subprocess.DEVNULL)
        (self._etc / "proxy.conf").write_text(_PROXY.format(port=self.port, **place))

    def command(self) -> list[str]:
        return [str(self._programs / "swift-proxy-server"), str(self._etc / "proxy.conf"), "--verbose"]

    def start(self) -> None:
        for kind in _KINDS:
            command = [str(self._programs / f"swift-{kind}-server"), str(self._etc / f"{kind}.conf")]
            self._backends.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        super().start()

    def kill(self) -> None:
        super().kill()
        for process in self._backends:
            process.kill()
            process.wait()
        self._backends.clear()

    def is_ready(self) -> bool:
        return all(replies(port, b"GET /healthcheck HTTP/1.0\r\n\r\n", b"HTTP/1", 5.0) for port in self._ports)

    def settings(self, bucket: str) -> ObjectSettings:
        """Settings of a bucket on this server."""
        return bucket_settings(self.url, bucket, access_key="test:tester", secret_key="testing", read_seconds=30)
