"""Mail: received directly over SMTP, sent through a smarthost.

[connector.mail]
type = "smtp"
listen = "tcp:2525:interface=127.0.0.1"
domains = ["hub.example"]
relay = "tcp:127.0.0.1:2526"
"""

from msgserver.protocols.smtp.connector import make_connector
from msgserver.protocols.smtp.settings import Settings

__all__ = ["Settings", "make_connector"]
