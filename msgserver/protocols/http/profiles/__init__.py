"""One module a gateway, named in the settings as ``profile``; a third party's on sys.path is found too.

A profile is pure: values in, values out. The connector does the rest. It has

    request(account, envelope) -> Request           how one text is sent
    receipt(account, answer) -> Receipt             or raises one of the seam's failures
    items(account, call) -> [Arrival | Report]      what a call to us brings

and, where the gateway has such,

    URL, NEEDS, METHODS, Options                    its address, the settings it cannot do without, how it calls us,
                                                    a Struct of settings that it alone has
    authentic(account, call, now) -> bool           the check of its signature
    reply(account, call) -> Reply                   what it wants to hear
    credit_request(account), credit(account, answer)
    BATCH, together(account, envelope), batch_request(account, envelopes), batch_outcomes(account, envelopes, answer)
"""

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))
