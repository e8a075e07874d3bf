"""What each field of an event or record means, in a sentence, for the schemas and for ``docs/events.md``.

A field stands under the class that declares it. Units and formats that the type itself states are not repeated here.
"""

from msgspec import Struct

from events import model, records

_VERSION = "The order's version that this makes: 1 for the first, then one more for each change."
_SAME_ID = "The same events give the same id."
_OPERATOR = "The person or account that did it; null where the source did not say."

MEANINGS: dict[type[Struct], dict[str, str]] = {
    model.Cleaned: {
        "cleaned": "What a mapping had to decide or change, each as `field: what`: see docs/profiles.md, 'Cleaning'.",
    },
    model.Event: {
        "time": "When it happened.",
    },
    model.OrderEvent: {
        "order_id": "The order it is about. A text: ids of 19 digits do not survive as numbers everywhere.",
        "operator": "The person or account that did it.",
    },
    model.Item: {
        "sku": "What was bought.",
        "quantity": "How many units.",
        "price": "Price of one unit.",
        "name": "The name the buyer saw.",
    },
    model.Address: {
        "country": "Country.",
        "province": "Province or state.",
        "city": "City.",
        "district": "District or county.",
        "detail": "Street, building and door.",
        "postcode": "Postal code.",
    },
    model.OrderCreated: {
        "customer_id": "The buyer.",
        "channel": "The sales channel, e.g. `tmall`.",
        "shop_id": "The shop within the channel.",
        "category": "The class of goods that limits go by, e.g. `fresh`.",
        "currency": "ISO 4217 code of all amounts of the order.",
        "amount": "What the buyer pays for the whole order.",
        "discount": "What was taken off the price.",
        "items": "The order lines.",
        "card": "What names the paying card: its token or number.",
        "phone": "The buyer's phone.",
        "ip": "The address on the network that the order came from.",
        "device": "The fingerprint of the device that the order came from.",
        "recipient": "Who receives the parcel.",
        "address": "Where the order goes.",
        "address_key": "One key for all spellings of the address, where the source knows such a key.",
        "warehouse_id": "The warehouse that ships it.",
        "promised_at": "When shipping was promised: presale and scheduled orders.",
        "priority": "How urgent the order is, e.g. `high`; absent: like any other.",
        "remark": "What was said when the order was taken.",
        "fallback_id": "The number under which this order was taken while its system was down: see docs/fallback.md.",
        "account_since": "When the customer's account was made, where the source tells it.",
    },
    model.OrderStage: {
        "stage": "A stage of the configured chain, e.g. `packed`.",
        "parcel_id": "The parcel that reached it; absent: all parcels that can.",
    },
    model.OrderFields: {
        "amount": "What the buyer pays for the whole order.",
        "discount": "What was taken off the price.",
        "category": "The class of goods that limits go by.",
        "items": "All order lines as they are now.",
        "phone": "The buyer's phone; null: removed.",
        "recipient": "Who receives the parcel; null: removed.",
        "address": "The whole address as it is now.",
        "address_key": "One key for all spellings of the address.",
        "warehouse_id": "The warehouse that ships it; null: none assigned.",
        "courier": "The courier channel; null: none assigned.",
        "promised_at": "When shipping was promised; null: no longer.",
    },
    model.OrderChanged: {
        "fields": "The new values.",
        "customer_id": "The buyer, where the buyer made the change.",
    },
    model.OrderSplit: {
        "parcels": "The ids of all parcels.",
    },
    model.OrderMerged: {
        "merged_into": "The order that takes its place.",
        "reason": "Why, as a word for programs, e.g. `declared_keys`, `quoted`.",
    },
    model.PaymentSucceeded: {
        "amount": "What was paid.",
        "currency": "ISO 4217 code of the amount.",
        "payment_id": "The payment gateway's own id.",
        "method": "The way of paying, e.g. `wechat`.",
        "card": "What names the card: its token or number; absent: the order's.",
    },
    model.PaymentFailed: {
        "amount": "What was to be paid.",
        "currency": "ISO 4217 code of the amount.",
        "payment_id": "The payment gateway's own id.",
        "method": "The way of paying, e.g. `wechat`.",
        "card": "What names the card: its token or number.",
        "reason": "Why it failed, in the gateway's words.",
    },
    model.SystemStatus: {
        "system": "The system whose status it is, e.g. `wms`.",
        "status": "The status in that system's own words, e.g. `LOADED`.",
        "parcel_id": "The parcel it is about; absent: the whole order.",
    },
    model.LogisticsScan: {
        "scan": "A word of the configured scan map, e.g. `collected`.",
        "parcel_id": "The parcel that was scanned; absent: the whole order.",
        "carrier": "The carrier that scanned it.",
        "location": "Where it was scanned.",
    },
    model.WaybillPrinted: {
        "duration_ms": "How long printing took, in milliseconds.",
        "warehouse_id": "The warehouse that printed it; absent: the order's.",
        "parcel_id": "The parcel the waybill is for.",
    },
    model.Behaviour: {
        "order_id": "The order it is about; absent: all open orders of the customer.",
        "customer_id": "The customer who did it.",
    },
    model.BehaviourSignal: {
        "signal": "The name of the sign, e.g. `payment_dwell`.",
        "value": "The number that was measured, in the unit of that signal: milliseconds, percent or a count.",
        "device": "The fingerprint of the device that the probe saw.",
    },
    model.BehaviourChat: {
        "text": "What the customer wrote.",
    },
    model.ReviewReleased: {
        "note": "The reviewer's remark.",
        "episode": "The alert that was reviewed, as its record names it; null: those of the order not reviewed yet.",
    },
    model.ReviewConfirmed: {
        "note": "The reviewer's remark.",
        "episode": "The alert that was reviewed, as its record names it; null: those of the order not reviewed yet.",
    },
    model.DeviationCount: {
        "what": "`missing`: no value, and the event can do without; `lacking`: no value, and the event needs it;"
        " `unparsable`: a value that is not what the field takes; `unknown_status`: a word that the profile does not"
        " know; `decrypt_failed`: it could not be opened; `time_offset`: the event's time is far from its arrival.",
        "count": "How many records.",
        "position": "The position of the first of them, in `partition`.",
        "since": "When the first of them arrived.",
    },
    model.FieldCount: {
        "field": "The field as the source names it; `(message)` and `(record)` are the whole.",
        "seen": "How many records were looked at for it.",
        "deviations": "In which ways they were not as they should be.",
    },
    model.NameCount: {
        "kind": "Where the name stood.",
        "name": "The name; digits in it are written as `#`.",
        "count": "How many records had it.",
        "position": "The position of the first of them.",
    },
    model.TraitCount: {
        "name": "The field or header that names it, e.g. `resource.algorithm`, `user-agent`.",
        "value": "The value.",
        "count": "How many records had it.",
        "position": "The position of the first of them.",
    },
    model.ContractCounted: {
        "entity_type": "`source`.",
        "entity_id": "The source whose records these are: the `source` of its profile.",
        "partition": "The topic and partition of the raw records.",
        "start": "From when on the records arrived that are counted.",
        "records": "How many raw records.",
        "fields": "What the profile reads.",
        "names": "All names of fields and headers, also those that the profile does not read.",
        "traits": "Schemes and versions.",
    },
    model.RulePublished: {
        "rule": "The rule, e.g. `card_burst`.",
        "version": "Of the rule; a larger one takes the place of a smaller one.",
        "effective_at": "From when on it holds, in event time; before the event's own `time` it does not.",
        "kind": "What kind of rule it is: `detector` for those of `[detectors]`.",
        "settings": "What is to be otherwise than in the file, written as there; it stands alone, without the version "
        "before.",
        "operator": "The person or account that published it.",
        "reason": "Why.",
    },
    model.FallbackLinked: {
        "main_order_id": "The order of the main system.",
        "note": "The person's remark.",
    },
    model.FallbackRejected: {
        "main_order_id": "The order of the main system.",
        "note": "The person's remark.",
    },
    model.BuyerNotice: {
        "template": "What it is about, e.g. `order_taken`.",
        "phone": "Where it goes, in the clear.",
        "zh": "The message in Chinese.",
        "en": "The message in English.",
    },
    model.AlertAcknowledged: {
        "episode": "The `episode` of the alert.",
        "entity_type": "The `entity_type` of the alert.",
        "entity_id": "The `entity_id` of the alert.",
        "operator": "Who has read it.",
    },
    model.JobHeartbeat: {
        "job": "The name of the job, the same in every run.",
        "period": "Within how many milliseconds it runs again; absent: as the settings say.",
    },
    records.LocalText: {
        "zh": "The text in Chinese.",
        "en": "The text in English.",
    },
    records.AlertRecord: {
        "id": f"`<episode>#<step_number>`. {_SAME_ID}",
        "rule": "The name of the rule, e.g. `stage_timeout`.",
        "rule_version": "The version of the rule's settings that judged.",
        "step": "What happened to the alert.",
        "step_number": "1 for the step that opened it, then one more for each step.",
        "episode": "The same on all steps of one alert: `<rule>/<entity_type>/<entity_id>/<opened_at>`, "
        "with `/<variant>` behind it where one entity can have several at a time.",
        "entity_type": "What kind of thing the alert is about, e.g. `order`, `card`.",
        "entity_id": "The thing it is about. Cards, phones and addresses stand here as keyed hashes.",
        "severity": "How urgent it is.",
        "level": "The rule's own word for how far it went, e.g. `reminder`, `breach`, `orange`, `lock`.",
        "time": "The event time of this step.",
        "opened_at": "The event time at which the alert opened.",
        "reason": "Why this step was taken, as a word for programs, e.g. `moved_on`.",
        "evidence": "The numbers and event ids that led to it; which ones depends on the rule.",
        "text": "The same for people.",
    },
    records.HoldCause: {
        "rule": "The rule that asked for the hold.",
        "episode": "The alert that asked for it.",
        "since": "When it asked.",
    },
    records.HoldRecord: {
        "id": f"`hold/<order_id>/<version>`. {_SAME_ID}",
        "order_id": "The order that is held or free.",
        "version": "1 for the first record of the order, then one more for each.",
        "status": "Whether the order may ship.",
        "time": "When this became so.",
        "causes": "Everything that asked for the hold.",
        "operator": "The reviewer who decided; null while nobody has.",
        "reason": "Why the record was written, as a word for programs.",
    },
    records.FieldChange: {
        "field": "The field, with a dot between its module and its name, e.g. `address.city`.",
        "old": "The value before.",
        "new": "The value now.",
    },
    records.VersionRecord: {
        "id": f"`<order_id>/v<version>`. {_SAME_ID}",
        "order_id": "The order that changed.",
        "version": _VERSION,
        "time": "When it changed.",
        "system": "The source that said so.",
        "operator": _OPERATOR,
        "event_id": "The `id` of the event that changed it.",
        "event_type": "The `type` of the event that changed it.",
        "changes": "The fields that really changed.",
    },
    records.DiffRecord: {
        "id": f"`<order_id>/v<version>/<target>`. {_SAME_ID}",
        "target": "The system that has to take it over.",
        "order_id": "The order that changed.",
        "version": _VERSION,
        "previous": "The version of the last diff sent to this target; 0: none.",
        "time": "When it changed.",
        "system": "The source that said so.",
        "operator": _OPERATOR,
        "event_id": "The `id` of the event that changed it.",
        "changes": "The changed fields that this target wants.",
        "actions": "What the new status asks the target to do, from the status map.",
    },
    records.LateRecord: {
        "id": f"`late/<source>/<event_id>/<entity_id>`. {_SAME_ID}",
        "source": "The `source` of the late event.",
        "event_id": "The `id` of the late event.",
        "event_type": "The `type` of the late event.",
        "entity_id": "The order, or else the customer or alerted thing, that it is about.",
        "time": "The late event's own time.",
        "applied_at": "The event time at which it was applied.",
        "event": "The event as it was read.",
    },
    records.DeadLetterRecord: {
        "id": f"`<partition>@<position>`. {_SAME_ID}",
        "topic": "The input topic it stood in; `files` for files.",
        "partition": "The file, or the topic and partition, it stood in.",
        "position": "Where it stood: byte offset in a file, offset in Kafka.",
        "reason": "Why it could not be used, as a word for programs.",
        "detail": "The same in a sentence, with the field.",
        "remedy": "What to do about it.",
        "arrival": "When it arrived; null where the log does not say.",
        "headers": "The headers of the Kafka record: name and value, the value base64 or null.",
    },
}


def meaning(kind: type[Struct], field: str) -> str | None:
    """What a field means; None where its type alone says it."""
    found = (MEANINGS[base][field] for base in kind.__mro__ if field in MEANINGS.get(base, {}))
    return next(found, None)
