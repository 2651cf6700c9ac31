"""A mailbox that is read: mail by IMAP, waited for or polled, from one folder or several. It sends nothing.

Its table::

    [connector.mailbox]
    type = "imap"
    connect = "tcp:imap.example:993"    # host and port of the server
    tls = "tls"                         # from the first byte; or "starttls", or "none" to this machine only
    tls_name = ""                       # the name its certificate must carry; default: the host of connect
    ca_file = ""                        # trust these certificates (PEM) instead of the system's
    user = "desk@hub.example"
    auth = "password"                   # or "xoauth2", "oauthbearer": with a token
    password = { file = "var/mailbox.password" }
    token = { file = "var/mailbox.token" }      # read anew at each login
    folder = "INBOX"                    # or a list of several
    then = "seen"                       # or "delete", or "move:Taken": what is done with a mail once it is stored
    idle = true                         # be told of new mail at once, where the server can
    poll_every = 60                     # seconds between looks where it cannot, and into the other folders
    largest = 26214400                  # octets; of a larger mail only the header is taken, and told so
    batch = 50                          # mails that are marked together
    answer_within = 60                  # seconds of silence until the server counts as gone
    border = ""                         # the provider, as its Authentication-Results name it: they are believed

Its wire (RFC 3501; C: this hub, S: the server)::

    S: * OK         C: STARTTLS, CAPABILITY, AUTHENTICATE PLAIN | XOAUTH2 | OAUTHBEARER, or LOGIN
    C: SELECT "INBOX"                           S: UIDVALIDITY, UIDNEXT
    C: UID FETCH 18:67 (UID RFC822.SIZE INTERNALDATE)       what is there behind the last one taken
    C: UID FETCH 18 (UID BODY.PEEK[])           one mail at a time, in the order of UIDs; then it is committed
    C: UID STORE 18 +FLAGS.SILENT (\\Seen)       or UID MOVE, or COPY, \\Deleted and UID EXPUNGE
    C: IDLE         S: * 19 EXISTS              C: DONE

The place in each folder (UIDVALIDITY and the last UID) is committed with the mail. A mail is named by its octets: the
same one under another UID, in a restored or renewed folder, is a duplicate. What was not taken whole is never marked.
"""

from msgserver.protocols.imap.connector import make_connector
from msgserver.protocols.imap.settings import Settings

__all__ = ["Settings", "make_connector"]
