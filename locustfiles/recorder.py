"""Has no users. Given beside any other locustfile, it records that file's requests, and takes the harness's turns.

locust -f locustfiles/recorder.py,my_locustfile.py --host http://127.0.0.1:8000
"""

from bench.load import plugin as plugin
