"""main.py [--list] [SCENARIO…]: runs the scenarios in the cluster of KUBECONFIG; see run.sh."""

import sys

import operator_release
import runner
# In the order in which they run: the last ones disturb the operator, and finally uninstall it.
from scenarios import (  # noqa: F401
    chart, chart_values, chart_release, install, resource, headers, delivery, lifecycle, workloads, mesh,
    applications, pod_wide, skipping, namespaces, changes, security_pods, security_users, security_processes, certificates,
    settings, reporting, releases, disruption, renewal, removal, many,
)


def main(words):
    if "--list" in words:
        for each in runner.SCENARIOS:
            print(f"{each.name:<12} {each.promise}")
        return 0
    chosen = runner.choose(words)
    return min(runner.run(chosen, operator_release.ensure, operator_release.show), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
