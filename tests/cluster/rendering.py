"""The chart's output as objects. Helm parses the YAML, so that Python needs no package."""

import base64
import json
import re
import shutil
import tempfile
from pathlib import Path

from kube import CHART, helm

READER = """\
{{- $read := list }}
{{- range regexSplit "(?m)^---$" (.Files.Get "documents.yaml") -1 }}
{{- $read = append $read (fromYaml .) }}
{{- end }}
read: {{ $read | toJson | b64enc }}
"""


def read_yaml(text):
    """Returns the documents of a YAML text, without the empty ones."""
    with tempfile.TemporaryDirectory() as folder:
        chart = make_chart(folder, "reader", {"templates/read.yaml": READER, "documents.yaml": text})
        printed = helm("template", chart).out
    (read,) = re.findall(r"(?m)^read: (\S+)$", printed)
    documents = [each for each in json.loads(base64.b64decode(read)) if each]
    assert not any("Error" in each for each in documents), documents
    return documents


def make_chart(folder, name, files, about=""):
    """Writes a chart and returns its folder."""
    chart = Path(folder) / name
    files = {"Chart.yaml": f"apiVersion: v2\nname: {name}\nversion: 1.0.0\n{about}", **files}
    for path, text in files.items():
        (chart / path).parent.mkdir(parents=True, exist_ok=True)
        (chart / path).write_text(text)
    return chart


def make_parent(folder, values, condition="tracebuffer.enabled"):
    """Writes a chart of which this one is a dependency."""
    about = f'dependencies: [{{name: tracebuffer, version: ">=0.0.0", condition: "{condition}"}}]\n'
    parent = make_chart(folder, "parent", {"values.yaml": values}, about)
    shutil.copytree(CHART, parent / "charts" / "tracebuffer")
    return parent


def template(*values, chart=CHART):
    """Renders a chart, which may fail."""
    return helm("template", "tracebuffer", chart, "-n", "tracebuffer", *values, check=False)


def settings(*pairs):
    """Turns `name=value` into arguments."""
    return [word for pair in pairs for word in ("--set", pair)]


def render(*values, chart=CHART):
    """Returns the objects of a chart as {(kind, name): object}; those of a List each for itself."""
    rendered = template(*values, chart=chart)
    assert rendered.code == 0, rendered.err
    documents = read_yaml(rendered.out)
    objects = [one for each in documents for one in (each["items"] if each["kind"] == "List" else [each])]
    return {(each["kind"], each["metadata"]["name"]): each for each in objects}


def only(objects, kind):
    """Returns the only object of a kind."""
    (found,) = [each for (its, _), each in objects.items() if its == kind]
    return found


def operator_container(objects):
    (container,) = only(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    return container


def environment(objects):
    """Returns the operator's environment: {name: value}."""
    names = [each["name"] for each in operator_container(objects)["env"]]
    assert len(names) == len(set(names)), f"a variable is set twice: {sorted(names)}"
    return {each["name"]: each.get("value") for each in operator_container(objects)["env"]}
