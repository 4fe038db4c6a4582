"""Where the two nuclei differ, as data: one table for classic, one for lite.

`observed` marks what was seen on a running nucleus lite 2.6.0; the classic column was read in its source (2.18). The
server asks these tables and nothing else: no other module knows the name of a nucleus.
"""

from __future__ import annotations

from dataclasses import dataclass

_KIB = 1024

_EVERYWHERE = frozenset({
    "GetConfiguration",
    "UpdateConfiguration",
    "SubscribeToConfigurationUpdate",
    "PublishToIoTCore",
    "SubscribeToIoTCore",
    "UpdateState",
})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """What a component can notice of a nucleus. Sizes in bytes."""

    name: str
    version: str  # in GGC_VERSION
    nucleus_components: tuple[str, ...]  # the names under which the nucleus' own configuration is read
    socket_name: str
    observed: bool  # or only read in source

    # the connection
    refusal_has_ack: bool  # a wrong token: ConnectAck without the accepted flag; else the socket is just closed
    connect_by_name: bool  # {"componentName": …} is enough to get in
    token_survives_restart: bool
    max_message: int  # a whole event-stream message; one byte more closes the connection
    response_ends_stream: bool  # the answer to a call without a stream carries TERMINATE_STREAM
    error_text_key: str  # the client library reads "message", whatever is sent under another key is lost

    operations: frozenset[str]  # every other one is refused
    unsupported: str  # with this shape; one outside the client's model reaches the caller as UnmappedDataError

    # configuration
    keys_fold_case: bool
    no_defaults_is_missing: bool  # GetConfiguration of a component without DefaultConfiguration fails
    yaml_scalars_are_strings: bool
    max_leaf: int | None  # as JSON; one value or one whole list
    max_answer_objects: int | None  # keys counted twice, and items; GetConfiguration of more fails (read in source)
    event_per_leaf: bool  # also for unchanged ones, and none for what is deleted; else one per changed node
    stale_update_is_error: bool  # UpdateConfiguration with an old timestamp; else it is ignored without a word
    validates_deployments: bool

    # publishing
    payload_and_qos_required: bool
    max_payload: int | None
    spool_bytes: int | None  # None: there is no spooler, a message is taken only while the broker is there
    max_unacked: int | None
    max_unacked_bytes: int | None
    max_delivered_packet: int | None  # what is larger never arrives at a subscriber
    wildcard_topic_drops_link: bool  # else refused
    states: frozenset[str]  # that UpdateState takes


CLASSIC = Behaviour(
    name="classic",
    version="2.18.0",
    nucleus_components=("aws.greengrass.Nucleus",),
    socket_name="ipc.socket",
    observed=False,
    refusal_has_ack=True,
    connect_by_name=False,
    token_survives_restart=True,
    max_message=24 * _KIB * _KIB,
    response_ends_stream=True,
    error_text_key="message",
    operations=_EVERYWHERE
    | {
        "DeferComponentUpdate",
        "SendConfigurationValidityReport",
        "SubscribeToComponentUpdates",
        "SubscribeToValidateConfigurationUpdates",
    },
    unsupported="aws#UnsupportedOperation",
    keys_fold_case=True,
    no_defaults_is_missing=False,
    yaml_scalars_are_strings=False,
    max_leaf=None,
    max_answer_objects=None,
    event_per_leaf=False,
    stale_update_is_error=True,
    validates_deployments=True,
    payload_and_qos_required=True,
    max_payload=128 * _KIB,
    spool_bytes=2560 * _KIB,
    max_unacked=None,
    max_unacked_bytes=None,
    max_delivered_packet=None,
    wildcard_topic_drops_link=False,
    states=frozenset({"RUNNING", "ERRORED"}),
)

LITE = Behaviour(
    name="lite",
    version="2.6.0",
    nucleus_components=("aws.greengrass.NucleusLite", "aws.greengrass.Nucleus"),
    socket_name="gg-ipc.socket",
    observed=True,
    refusal_has_ack=False,
    connect_by_name=True,
    token_survives_restart=False,
    max_message=10_012,  # 10,000 after the prelude
    response_ends_stream=False,
    error_text_key="_message",
    operations=_EVERYWHERE,
    unsupported="aws.greengrass#ServiceError",
    keys_fold_case=False,
    no_defaults_is_missing=True,
    yaml_scalars_are_strings=True,
    max_leaf=1022,
    max_answer_objects=255,
    event_per_leaf=True,
    stale_update_is_error=False,
    validates_deployments=False,
    payload_and_qos_required=False,
    max_payload=None,
    spool_bytes=None,
    max_unacked=10,
    max_unacked_bytes=15_000,
    max_delivered_packet=5_000,
    wildcard_topic_drops_link=True,
    states=frozenset({
        "NEW", "INSTALLED", "STARTING", "RUNNING", "STOPPING", "FINISHED", "ERRORED", "BROKEN",
    }),
)  # fmt: skip

KINDS = {behaviour.name: behaviour for behaviour in (CLASSIC, LITE)}
