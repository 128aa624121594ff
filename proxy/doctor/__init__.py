"""`ul-proxy check`: tests each hop from the settings to every upstream.

`hops` lists them and which depend on which, `walk` runs them, `probes` does the network's part of each. `verdicts`
and `faults` say what a response or an error means, as `findings`, which `report` prints. All but `walk` and `probes` is
pure.
"""

from proxy.doctor.findings import Finding, HopState, Kind, Result, Step
from proxy.doctor.hops import Hop, plan
from proxy.doctor.probes import NetworkProbes
from proxy.doctor.report import CheckReport
from proxy.doctor.walk import walk

__all__ = ["CheckReport", "Finding", "Hop", "HopState", "Kind", "NetworkProbes", "Result", "Step", "plan", "walk"]
