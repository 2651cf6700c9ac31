"""A private Postfix for comparison: it receives into its queue, fsynced, and discards; or relays to a sink."""

from __future__ import annotations

import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile
import time

_MASTER = """\
{listen} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""

_MAIN = """\
compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
maillog_file = {root}/mail.log
maillog_file_prefixes = {root}
myhostname = peer.example
mydestination = hub.example
local_recipient_maps =
{transport}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_relay_restrictions = permit_mynetworks, reject
default_process_limit = 100
bounce_queue_lifetime = 0
maximal_queue_lifetime = 1h
alias_maps = {aliases}
"""


class Postfix:
    """``with Postfix() as postfix: postfix.port``; needs root, as Postfix does."""

    def __init__(self, relay_port: int | None = None, aliases: str = "", extra: str = "") -> None:
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="postfix-"))
        self.port = free_port()
        self._config = self.root / "etc"
        self._relay_port = relay_port
        self._aliases = aliases
        self._extra = extra  # further lines of main.cf

    def __enter__(self) -> Postfix:
        user = pwd.getpwnam("postfix")
        self.root.chmod(0o755)
        for folder in ("etc", "queue", "data"):
            (self.root / folder).mkdir()
        os.chown(self.root / "data", user.pw_uid, user.pw_gid)
        transport = "local_transport = discard:\ndefault_transport = discard:"
        if self._relay_port:
            nexthop = f"smtp:[127.0.0.1]:{self._relay_port}"
            transport = f"local_transport = {nexthop}\ndefault_transport = {nexthop}"
        aliases = ""
        if self._aliases:
            (self._config / "aliases").write_text(self._aliases)
            transport = f"local_transport = local:\ndefault_transport = smtp:[127.0.0.1]:{self._relay_port}"
            aliases = f"texthash:{self._config}/aliases"
        (self._config / "main.cf").write_text(
            _MAIN.format(root=self.root, transport=transport, aliases=aliases) + self._extra
        )
        (self._config / "master.cf").write_text(_MASTER.format(listen=f"127.0.0.1:{self.port}"))
        self._postfix("start")
        for _ in range(200):
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                    if probe.recv(100).startswith(b"220"):
                        return self
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"Postfix does not answer; see {self.root}/mail.log")

    def __exit__(self, *_: object) -> None:
        self._postfix("abort")
        shutil.rmtree(self.root, ignore_errors=True)

    def waiting(self) -> int:
        """Mails in the queue just now."""
        folders = ("incoming", "active", "deferred", "maildrop")
        return sum(len(files) for folder in folders for _, _, files in os.walk(self.root / "queue" / folder))

    def hold(self, wanted: bool) -> None:
        """Receive, but do not send yet; or send now what waits."""
        value = "defer_transports = smtp" if wanted else "defer_transports ="
        subprocess.run(["postconf", "-c", str(self._config), "-e", value], check=True, timeout=60)
        self._postfix("reload")
        if wanted:
            time.sleep(1.0)
        else:
            subprocess.run(["postqueue", "-c", str(self._config), "-f"], check=True, timeout=60)

    def _postfix(self, act: str) -> None:
        subprocess.run(
            ["postfix", "-c", str(self._config), act], check=True, capture_output=True, text=True, timeout=60
        )


def free_port() -> int:
    """A loopback port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def smtp_source(
    port: int, messages: int, sessions: int, size: int = 1024, kept: bool = True, subject: str = ""
) -> float:
    """Send mails with Postfix's own generator; returns mails a second."""
    command = ["smtp-source", "-m", str(messages), "-s", str(sessions), "-l", str(size), "-f", "ana@far.example"]
    command += ["-t", "hub@hub.example", *(["-d"] if kept else []), *(["-S", subject] if subject else [])]
    command.append(f"127.0.0.1:{port}")
    begun = time.perf_counter()
    subprocess.run(command, check=True, timeout=600)
    return messages / (time.perf_counter() - begun)
