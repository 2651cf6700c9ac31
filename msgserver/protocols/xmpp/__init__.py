"""Chat with the hub: a bot account on any XMPP server.

Its table::

    [connector.chat]
    type = "xmpp"
    jid = "hub@xmpp.example"
    password = { file = "var/xmpp.password" }
    connect = "tcp:127.0.0.1:5222"      # optional: an endpoint; without it the domain's SRV records, else port 5222
    tls = "required"                    # "optional", or "none" on the loopback interface only
    ca_file = "var/ca.pem"              # optional: trust these certificates instead of the system's
    resource = "hub"
    ping_every = 60                     # seconds between looks whether the line is alive
    ping_timeout = 20                   # seconds without an answer until it counts as dead
    accept_subscriptions = true         # everybody may add the hub to their contacts

Its wire (RFC 6120 and 6121; C: this hub, S: the server)::

    C: <stream> S: <features> C: STARTTLS, SASL (SCRAM or PLAIN over TLS), bind     (wokkel, twisted.words)
    C: <enable xmlns='urn:xmpp:sm:3'/>     S: <enabled/>                            (XEP-0198, where offered)
    C: <presence/>

    S: <message from='ana@x/phone' id='7'><body>help</body><request xmlns='urn:xmpp:receipts'/></message>
    C: <message to='ana@x/phone'><received xmlns='urn:xmpp:receipts' id='7'/></message>    once it is committed
    S: <r/>  C: <a h='1'/>                 h counts what is committed, not what came in

    C: <message to='ana@x' id='REF.TAG'><body>...</body><request xmlns='urn:xmpp:receipts'/></message>
    C: <r/>  S: <a h='2'/>                 taken: send() returns (without XEP-0198: a ping's answer says the same)
    S: <message from='ana@x/phone'><received xmlns='urn:xmpp:receipts' id='REF.TAG'/></message>     delivered
    S: <message type='error' id='REF.TAG'>...                                                       failed

Nothing is queued on our side of the wire: without a line ``send`` raises NotConnected, and what the server had not
confirmed when a line broke is Unknown. Such a stanza may be repeated: it carries the same id.
"""

from msgserver.protocols.xmpp.connector import make_connector
from msgserver.protocols.xmpp.settings import Settings

__all__ = ["Settings", "make_connector"]
