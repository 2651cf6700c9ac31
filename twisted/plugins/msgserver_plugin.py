"""``twistd msgserver``: the name under which Twisted finds the hub."""

from twisted.application.service import ServiceMaker

msgserver = ServiceMaker(
    "msgserver",
    "msgserver.service",
    "One hub for every channel people in trouble can reach: SMS, mail, chat and web in one log.",
    "msgserver",
)
