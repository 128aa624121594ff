"""A doctor for the whole way from the settings to every upstream, for `ul-proxy check`.

`findings` is what there is to say of a hop, `faults` and `verdicts` say it: of errors and of answers. `plan` lays out
the hops and which depend on which, `walk` goes along them, `probes` is what really happens at each, `report` writes it
down. All but `walk` and `probes` is pure.
"""

from proxy.doctor.findings import Finding, HopState, Kind, Result, Step
from proxy.doctor.plan import Hop, plan
from proxy.doctor.probes import NetworkProbes
from proxy.doctor.report import CheckReport
from proxy.doctor.walk import walk

__all__ = ["CheckReport", "Finding", "Hop", "HopState", "Kind", "NetworkProbes", "Result", "Step", "plan", "walk"]
