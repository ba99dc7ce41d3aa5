"""The locustfile of ``nox -s web``, which starts Locust with it: the users of every scenario's locustfile.

Locust looks here for classes of users, so those of the first behaviour stand here by name; which of them come is
decided anew at each start.
"""

from __future__ import annotations

from bench.web.in_locust import web_plugin

globals().update({user.__name__: user for user in web_plugin.behaviours.first.users})
