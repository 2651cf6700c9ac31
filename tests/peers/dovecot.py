"""A Dovecot server: IMAP with STARTTLS and IMAPS, any user, one password, or a token of one's own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import imaplib
import json
import os
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.certificates import Authority
from tests.peers.programs import Program, free_port, home, listens, program

_CONFIG = """
protocols = imap
base_dir = {directory}/run
state_dir = {directory}/state
log_path = /dev/stderr
default_login_user = {user}
default_internal_user = {user}
default_internal_group = {group}
listen = 127.0.0.1
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = no
mail_location = maildir:{directory}/mail/%u
mail_fsync = never
first_valid_uid = 1
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
auth_failure_delay = 0
namespace inbox {{
  inbox = yes
}}
auth_mechanisms = plain xoauth2 oauthbearer
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {directory}/oauth2.conf
}}
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={directory}/mail/%u
}}
"""
_OAUTH2 = """
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={directory}/keys/
username_attribute = email
"""


class Dovecot:
    """A server on 127.0.0.1: ``port`` (STARTTLS), ``tls_port``, ``ca`` to trust, ``password`` of every user."""

    password = "imap-password"

    def __init__(self, directory: Path, authority: Authority) -> None:
        self.directory = directory
        self.port, self.tls_port = free_port(), free_port()
        self.ca = authority.ca
        certificate, key = authority.sign("127.0.0.1", "localhost")
        (directory / "mail").mkdir()
        self._key = os.urandom(32)
        keys = directory / "keys/default/HS256"
        keys.mkdir(parents=True)
        (keys / "default").write_bytes(base64.b64encode(self._key))
        (directory / "oauth2.conf").write_text(_OAUTH2.format(directory=directory))
        user, group = ("nobody", "nogroup") if os.geteuid() == 0 else (str(os.getuid()), str(os.getgid()))
        if os.geteuid() == 0:
            os.chown(directory / "mail", 65534, 65534)
        (directory / "dovecot.conf").write_text(
            _CONFIG.format(
                directory=directory,
                user=user,
                group=group,
                port=self.port,
                tls_port=self.tls_port,
                password=self.password,
                certificate=certificate,
                key=key,
            )
        )
        self.start()

    def start(self) -> None:
        """Start it; the mailboxes are as they were."""
        argv = [program("dovecot", "dovecot-imapd"), "-c", str(self.directory / "dovecot.conf"), "-F"]
        self.program = Program(argv, self.directory / "log")
        self.program.wait_ready(lambda: listens(self.port) and listens(self.tls_port))

    def stop(self) -> None:
        """Stop it; its clients are cut off."""
        self.program.stop()

    def token(self, user: str, seconds: float = 600) -> str:
        """An access token (RFC 7519, HS256) that logs somebody in for so long; negative: it has expired."""
        now = int(time.time())
        said = {"email": user, "sub": user, "iat": now - 3600, "exp": now + int(seconds)}
        words = ".".join(_base64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, said))
        return f"{words}.{_base64url(hmac.digest(self._key, words.encode(), hashlib.sha256))}"

    def client(self, user: str) -> imaplib.IMAP4:
        """A logged-in IMAP client that is not ours, to put mail in and to look."""
        client = imaplib.IMAP4_SSL("127.0.0.1", self.tls_port, ssl_context=ssl.create_default_context(cafile=self.ca))
        client.login(user, self.password)
        return client

    def append(self, user: str, message: bytes, folder: str = "INBOX") -> None:
        """Put a message into somebody's mailbox."""
        client = self.client(user)
        assert client.append(folder, "", "", message)[0] == "OK"
        client.logout()


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@pytest.fixture(scope="session")
def dovecot(authority: Authority) -> Iterator[Dovecot]:
    """The server; shared by all tests of a run, so take a user name of your own."""
    with home("dovecot") as directory:
        server = Dovecot(directory, authority)
        try:
            yield server
        finally:
            server.stop()
