# The hub for twistd -ny tac/msgserver.tac; the configuration is $MSGSERVER_CONFIG, else var/msgserver.toml.

import os

from twisted.application.service import Application

from msgserver.service import Options, makeService

options = Options()
options.parseOptions(["--config", os.environ.get("MSGSERVER_CONFIG", "var/msgserver.toml")])

application = Application("msgserver")
makeService(options).setServiceParent(application)
