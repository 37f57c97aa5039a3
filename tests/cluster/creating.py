"""Creation of pods while something happens to the operator."""

import threading

from kube import apply, list_all
from parts import is_injected, pending_pod


class Creating:
    """Creates annotated pods, five a second, until the context ends."""

    def __init__(self, namespace):
        self.namespace, self.stop, self.created, self.error = namespace, threading.Event(), 0, None
        self.thread = threading.Thread(target=self.work, daemon=True)

    def work(self):
        try:
            while not self.stop.wait(0.15):
                apply(pending_pod(f"pod-{self.created}"), namespace=self.namespace)
                self.created += 1
        except Exception as error:  # raised by the scenario's own thread
            self.error = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(30)
        if self.error:
            raise self.error


def without_sidecar(namespace):
    """Lists the names of the pods whose sidecar is missing."""
    return [p["metadata"]["name"] for p in list_all("pods", namespace) if not is_injected(p)]
