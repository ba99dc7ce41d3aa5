"""The locustfile of ``nox -s web``, which starts Locust with it: the users of every scenario's locustfile.

Locust looks for user classes here, so those of the first locustfile get names here. Each start decides which classes
are used.
"""

from __future__ import annotations

from bench.web.in_locust import web_plugin

globals().update({user.__name__: user for user in web_plugin.locustfiles.first.users})
