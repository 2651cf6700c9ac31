"""One module or package a protocol; a third party's module of this name anywhere on sys.path is found too."""

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))
