#!/usr/bin/env python3
"""deploy/kubernetes: kustomize builds it, the schemas of Kubernetes and of LeaderWorkerSet take it, leader and worker run
one command without a word about nodes, and every flag in it is one that `colrow serve` has."""
import json
import os
import re
import shutil
import subprocess

from support import ROOT, SHARED, check, finish, run, skip

try:
    import jsonschema
    import yaml
except ImportError as error:
    skip(f"{error}; apt install python3-yaml python3-jsonschema, or pip")
FOLDER = os.path.join(ROOT, "deploy", "kubernetes")
CRD = os.path.join(SHARED, "data", "k8s", "leaderworkerset-crd.yaml")


def build(place):
    """All documents of a kustomization; without kubectl those of the base as they lie there."""
    if shutil.which("kubectl"):
        done = subprocess.run(["kubectl", "kustomize", os.path.join(FOLDER, place)], capture_output=True, text=True)
        check(done.returncode == 0, f"kubectl kustomize {place}: {done.stderr}")
        return list(yaml.safe_load_all(done.stdout)) if done.returncode == 0 else []
    if place != "base":
        print(f"{place}: skipped, there is no kubectl")
        return []
    with open(os.path.join(FOLDER, place, "kustomization.yaml"), encoding="ascii") as file:
        names = yaml.safe_load(file)["resources"]
    documents = []
    for name in names:
        with open(os.path.join(FOLDER, place, name), encoding="ascii") as file:
            documents += yaml.safe_load_all(file)
    return documents


def close(schema):
    """As the API server sees it: what no schema names is an error."""
    if isinstance(schema, list):
        for item in schema:
            close(item)
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object" and "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        schema.pop("type", None)
    for item in list(schema.values()):
        close(item)


def schema_of_crd():
    if not os.path.exists(CRD):
        print("LeaderWorkerSet's schema: skipped, ../shared is not here")
        return None
    with open(CRD, encoding="utf-8") as file:
        versions = yaml.safe_load(file)["spec"]["versions"]
    schema = next(v for v in versions if v["name"] == "v1")["schema"]["openAPIV3Schema"]
    close(schema)
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


def pods_of(workerset):
    template = workerset["spec"]["leaderWorkerTemplate"]
    return template["leaderTemplate"], template["workerTemplate"]


def one_command(place, workerset, flags):
    leader, worker = (pod["spec"]["containers"][0] for pod in pods_of(workerset))
    check(leader == worker, f"{place}: leader and worker do not have the same container")
    command = leader["command"] + leader["args"]
    check(command[:2] == ["colrow", "serve"], f"{place}: it does not run colrow serve: {command}")
    for word in command:
        if word.startswith("--"):
            check(word.split("=")[0] in flags, f"{place}: colrow serve has no {word}")
    check(not any(re.match(r"--(nnodes|node-rank|master-|rdzv|headless)", word) for word in command), f"{place}: flags about nodes: {command}")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        check(leader[probe]["httpGet"]["path"].startswith("/health"), f"{place}: {probe} asks something else than /health")
    check(leader["securityContext"]["readOnlyRootFilesystem"] and not any("/dev/shm" in m["mountPath"] for m in leader["volumeMounts"]), f"{place}: it needs to write")


def validate(documents):
    try:
        import kubernetes_validate
    except ImportError:
        print("the schemas of Kubernetes: skipped, pip install kubernetes-validate")
        return 0
    n = 0
    for document in documents:
        pods = []
        if document["kind"] == "LeaderWorkerSet":
            pods = [{"apiVersion": "v1", "kind": "Pod", "metadata": {**pod["metadata"], "name": "pod"}, "spec": pod["spec"]} for pod in pods_of(document)]
        elif document["kind"] != "PodMonitor":  # the Prometheus operator's
            pods = [document]
        for one in pods:
            try:
                kubernetes_validate.validate(json.loads(json.dumps(one)), "1.32", strict=True)
            except kubernetes_validate.ValidationError as error:
                check(False, f"{one['kind']}: {error.message}")
            n += 1
    return n


schema = schema_of_crd()
help_text = run("serve", "--help").stdout
known = set(re.findall(r"--[a-z0-9-]+", help_text))
for place in ("base", os.path.join("overlays", "cpu"), os.path.join("overlays", "gpu")):
    documents = build(place)
    for workerset in (d for d in documents if d["kind"] == "LeaderWorkerSet"):
        one_command(place, workerset, known)
        for error in jsonschema.Draft4Validator(schema).iter_errors(workerset) if schema else []:
            check(False, f"{place}: {'.'.join(map(str, error.path))}: {error.message[:200]}")
    if documents:
        print(f"{place}: {len(documents)} objects, {validate(documents)} checked against Kubernetes 1.32")
finish("deploy/kubernetes")
