"""SMS gateways over HTTP: we call them to send, they call us with what arrives and with receipts.

[connector.gateway]
type = "http"
profile = "twilio"
user = "AC0123456789abcdef0123456789abcdef"
password = { file = "var/gateway.password" }
sender = "+15550100"
callback = "https://hub.example/in/gateway"

    -> the gateway's own words, see ``profiles/``: one module a gateway
    <- GET|POST /in/gateway[/SECRET][/...]    what arrived, and what became of what was sent
"""

from msgserver.protocols.http.connector import make_connector
from msgserver.protocols.http.settings import Settings

__all__ = ["Settings", "make_connector"]
