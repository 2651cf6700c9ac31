"""What a modem's error numbers mean for a text (3GPP TS 27.005 section 3.2.5, TS 27.007 section 9.2)."""

from __future__ import annotations

from msgserver.connector import NotConnected, PermanentFailure, SendFailure, TemporaryFailure, Unknown
from msgserver.protocols.gsm.dialogue import LineFailed, LineLost, LineSilent
from msgserver.protocols.gsm.trouble import StartedAnew

CMS = {
    1: "the number does not exist",
    8: "barred by the operator",
    10: "calls are barred",
    21: "the network rejected the text",
    22: "the network congested",
    27: "the destination is out of order",
    28: "the number belongs to nobody",
    29: "the network refused the service",
    30: "the number is unknown to the network",
    38: "the network is out of order",
    41: "temporary failure of the network",
    42: "the network is congested",
    47: "the network has no resources",
    50: "texts are not part of this subscription",
    69: "the network does not offer this",
    96: "the network found the text invalid",
    111: "the network did not understand",
    127: "no interworking with that network",
    208: "the SIM's SMS storage is full",
    300: "the modem failed",
    301: "the modem's SMS service is reserved",
    302: "the modem does not allow it",
    303: "the modem does not support it",
    304: "the modem found the PDU invalid",
    305: "the modem found the text invalid",
    310: "no SIM in the modem",
    311: "the SIM wants its PIN",
    312: "the phone wants its PIN",
    313: "the SIM failed",
    314: "the SIM is busy",
    315: "the wrong SIM",
    316: "the SIM wants its PUK",
    320: "the modem's memory failed",
    321: "no text at that place",
    322: "the SIM's memory is full",
    330: "the number of the service centre is not known: set service_centre",
    331: "no network",
    332: "the network did not answer in time",
    340: "no acknowledgement expected",
    500: "unknown error of the modem",
    512: "the modem is not ready yet",
}
_NEVER = {8, 10, 29, 50, 69, 96, 302, 303, 304, 305}
_BAD_NUMBER = {1, 28, 30}
_NO_LINE = {310, 311, 312, 313, 315, 316, 330, 331, 512}
MONEY = {8, 10, 21, 29, 38, 50, 69}  # what networks say to a SIM without credit, among other things
CME = {
    10: "no SIM in the modem",
    11: "the SIM wants its PIN",
    12: "the SIM wants its PUK",
    13: "the SIM failed",
    14: "the SIM is busy",
    15: "the wrong SIM",
    16: "wrong PIN",
    30: "no network",
    32: "emergency calls only",
}


def words(failure: LineFailed) -> str:
    """What a person reads about it."""
    table = CME if failure.kind == "CME" else CMS
    if failure.code is None:
        return str(failure)
    return f"{table.get(failure.code, 'the modem refused')} ({failure})"


def verdict(failure: LineFailed) -> SendFailure:
    """The failure of a send, for the lane."""
    if failure.kind == "sent" and isinstance(failure, LineSilent | LineLost):
        return Unknown(f"the modem took the text and did not confirm it: {failure}")
    if isinstance(failure, LineLost | StartedAnew):
        return NotConnected(str(failure))
    if failure.kind == "CMS" and failure.code is not None:
        if failure.code in _BAD_NUMBER:
            return PermanentFailure(words(failure), bad_address=True)
        if failure.code in _NEVER:
            return PermanentFailure(words(failure))
        if failure.code in _NO_LINE:
            return NotConnected(words(failure))
        if failure.code == 332:
            return Unknown(words(failure))
    if failure.kind == "CME" and failure.code in CME:
        return NotConnected(words(failure))
    return TemporaryFailure(words(failure))
