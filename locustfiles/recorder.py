"""No users of its own: beside any other locustfile it records what that one's users do, and follows a lineup.

locust -f locustfiles/recorder.py,my_locustfile.py --host http://127.0.0.1:8000 --lineup FILE
"""

from bench.load import plugin as plugin
