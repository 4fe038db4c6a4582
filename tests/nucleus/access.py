"""accessControl: whether a component may do an operation with a topic.

As on lite, observed, and used for both nuclei: "*" reaches any depth, "+" is one level (also an empty one), "#" is the
rest and wants its slash; a pattern that has "*" together with "+" or "#" matches nothing.
"""

from __future__ import annotations

import re
from typing import Any

MQTT_PROXY = "aws.greengrass.ipc.mqttproxy"


def allows(control: Any, service: str, operation: str, topic: str, *, thing_name: str = "") -> bool:
    """`control` is the component's accessControl map, `operation` as aws.greengrass#PublishToIoTCore."""
    policies = control.get(service) if isinstance(control, dict) else None
    if not isinstance(policies, dict):
        return False
    for policy in policies.values():
        operations = policy.get("operations", [])
        resources = [it.replace("{iot:thingName}", thing_name) for it in policy.get("resources", [])]
        if ("*" in operations or operation in operations) and any(matches(it, topic) for it in resources):
            return True
    return False


def matches(pattern: str, topic: str) -> bool:
    if "*" in pattern and ("+" in pattern or "#" in pattern):
        return False
    expression = "".join(_as_expression(sign) for sign in pattern)
    return re.fullmatch(expression, topic, re.DOTALL) is not None


def filter_matches(subscription: str, topic: str) -> bool:
    """Whether an MQTT subscription gets what is published on the topic."""
    if subscription.endswith("/#") and subscription[:-2] == topic:
        return True
    return matches(subscription.replace("*", "\0"), topic.replace("*", "\0"))


def _as_expression(sign: str) -> str:
    return {"*": ".*", "#": ".*", "+": "[^/]*"}.get(sign, re.escape(sign))
