"""What mapping by a profile costs beside a function written by hand for the same payload.

``python -m benchmarks.mapping`` prints payloads per second on one core, both ways, for payloads of several platforms.
Both take the payload's bytes and give the same events. The hand-written functions are what one writes for daily use:
fields may be missing or empty, texts are stripped, amounts are exact, local times get their zone, the events are
checked against their types, phones and addresses go through the same cleaning. They give no reasons where something is
wrong, and know no other payload than the one at hand.

A profile knows all that a platform sends, so the Shopify order stands there twice: beside the function for this one
payload, and beside one that does the same job for orders in any state, with the profile's fall-backs and checks, which
has to agree on variants of the payload too.

All ways are measured in turn, and the best of each counts, so that other work on the machine hurts none.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.by_hand import (
    douyin_paid,
    shopify_message,
    shopify_order,
    taobao_trade,
    track,
    wechat,
)
from events.model import Event
from sources.mapping.loading import load_profile
from sources.mapping.mapper import Mapper

SAMPLES = Path(__file__).parent.parent / "tests" / "mapping" / "samples"

ByHand = Callable[[bytes], list[Event]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each payload and way (default 2)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = [measured(*case, seconds=options.seconds) for case in cases()]
    if options.json:
        print(json.dumps(results, indent=2))
        return
    print(f"{'payload':24} {'bytes':>6} {'events':>6} {'by profile/s':>13} {'by hand/s':>11} {'share':>6}")
    for row in results:
        rates = f"{row['by_profile']:13,.0f} {row['by_hand']:11,.0f} {row['share']:6.0%}"
        print(f"{row['payload']:24} {row['bytes']:6,} {row['events']:6} {rates}")


def cases() -> list[tuple[str, str, bytes, ByHand]]:
    """Name, profile, payload, and the function written by hand."""
    pushes = json.loads((SAMPLES / "douyin" / "pushes.json").read_text(encoding="utf-8-sig"))
    webhooks = (SAMPLES / "shopify" / "webhooks.ndjson").read_bytes().splitlines()
    notices = (SAMPLES / "wechat_pay" / "notices.ndjson").read_bytes().splitlines()
    return [
        ("taobao trade", "taobao", (SAMPLES / "taobao" / "fullinfo.json").read_bytes(), taobao_trade),
        ("douyin push, paid", "douyin", json.dumps([pushes[1]]).encode(), douyin_paid),
        ("shopify order, changed", "shopify", webhooks[1], shopify_order),
        ("shopify, any state", "shopify", webhooks[1], shopify_message),
        ("wechat pay notice", "wechat_pay", notices[0], wechat),
        ("kuaidi100 track", "kuaidi100", (SAMPLES / "kuaidi100" / "with_order.json").read_bytes(), track),
    ]


def measured(name: str, profile: str, payload: bytes, by_hand: ByHand, *, seconds: float) -> dict[str, Any]:
    """Both ways on one payload; refuses to compare ways that do not give the same."""
    mapper = Mapper(load_profile(profile))
    for variant in (payload, *(variants(payload) if by_hand is shopify_message else ())):
        given = mapper.map(variant)
        wanted = sorted(by_hand(variant), key=lambda event: event.time)
        if given.refusals or given.events != wanted:
            raise SystemExit(f"{name}: the two ways differ\n{given}\n{wanted}")
    best = {"by_profile": 0.0, "by_hand": 0.0}
    rounds = 5
    for _ in range(rounds):
        best["by_profile"] = max(best["by_profile"], _rate(mapper.map, payload, seconds / rounds))
        best["by_hand"] = max(best["by_hand"], _rate(by_hand, payload, seconds / rounds))
    share = best["by_profile"] / best["by_hand"]
    return {"payload": name, "bytes": len(payload), "events": len(mapper.map(payload).events), **best, "share": share}


def variants(payload: bytes) -> list[bytes]:
    """A Shopify order in other states, and with its values at other places."""
    order = json.loads(payload)
    others = [
        {"financial_status": "pending"},
        {"cancelled_at": "2026-03-09T10:00:00-04:00"},
        {"updated_at": order["created_at"]},
        {"customer": None, "current_total_price": None, "current_total_discounts": "4.00"},
        {"shipping_address": None, "phone": "+1 212 555 0199", "client_details": {"browser_ip": "203.0.113.8"}},
        {"shipping_address": {"address1": " 350 5th Ave ", "country_code": "CA"}, "line_items": []},
        {"fulfillments": [{"id": 7, "status": "success", "created_at": "2026-03-09T10:00:00Z"}]},
    ]
    return [json.dumps({**order, **other}).encode() for other in others] + [json.dumps({"orders": [order]}).encode()]


def _rate(work: Callable[[bytes], Any], payload: bytes, seconds: float) -> float:
    """Payloads per second of this process's own time."""
    done, began = 0, time.process_time()
    while (used := time.process_time() - began) < seconds:
        for _ in range(100):
            work(payload)
        done += 100
    return done / used


if __name__ == "__main__":
    main()
