"""The server ``foundation.channels``."""

from __future__ import annotations

from foundation.channels import functions, settings
from foundation.facade import FacadeServer

NAME = "foundation.channels"


class ChannelsServer(FacadeServer):
    """Answers the messages of ``foundation.channels.messages``; has the functions, too."""

    broadcast = staticmethod(functions.broadcast)
    subscribe = staticmethod(functions.subscribe)
    unsubscribe = staticmethod(functions.unsubscribe)
    route = staticmethod(functions.route)
    explain_route = staticmethod(functions.explain_route)
    declare = staticmethod(settings.declare)
    use = staticmethod(settings.use)
    remove = staticmethod(settings.remove)
    drained = staticmethod(settings.drained)
    channels = staticmethod(settings.channels)
    installed = staticmethod(settings.installed)
    statistics = staticmethod(settings.statistics)
