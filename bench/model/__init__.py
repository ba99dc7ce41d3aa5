"""The nouns of the harness as frozen dataclasses. Standard library only: everything may import this package.

from bench.model import Claim, Comparison, Scenario, Variant
"""

from bench.model.bounds import UpperBound
from bench.model.claim import Claim, Comparison, Relation
from bench.model.errors import UsageError
from bench.model.plan import PROFILES, Plan, Profile, Round, ServerGroup, Status, Turn
from bench.model.scenario import HEALTH_PATH, READY_PATH, Scenario
from bench.model.variant import AppSource, Role, Sidecar, Variant
from bench.model.workload import Load

__all__ = [
    "HEALTH_PATH",
    "PROFILES",
    "READY_PATH",
    "AppSource",
    "Claim",
    "Comparison",
    "Load",
    "Plan",
    "Profile",
    "Relation",
    "Role",
    "Round",
    "Scenario",
    "ServerGroup",
    "Sidecar",
    "Status",
    "Turn",
    "UpperBound",
    "UsageError",
    "Variant",
]
