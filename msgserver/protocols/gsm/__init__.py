"""GSM modems on a serial line or behind a network: texts in and out, in every script, with receipts.

::

    [connector.modem1]
    type = "gsm"
    device = "/dev/ttyUSB*"
    imei = "356938035643809"
    pin = { file = "var/modem1.pin" }
"""

from msgserver.protocols.gsm.connector import make_connector
from msgserver.protocols.gsm.settings import Settings

__all__ = ["Settings", "make_connector"]
