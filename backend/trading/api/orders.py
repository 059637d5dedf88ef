"""/api/trading/demo/orders/: manual paper orders."""

import re
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from engine.orders import Action, Code
from market.errors import SymbolError
from market.models import Symbol
from market.symbols import parse_symbol
from trading.api.base import AccountViewSet
from trading.api.inputs import TextField, body
from trading.api.numbers import DIGITS, PLACES, AmountField, ExactField
from trading.api.positions import AccountSerializer, PositionSerializer
from trading.api.trades import SIDES, TradeSerializer
from trading.books.idempotency import IdempotentRequest, StoredResponse
from trading.models import Account, Trade
from trading.runtime.manual_orders import Refusal, Ticket, place_order
from trading.selectors.portfolio import open_positions, value_of
from web.json import write_json

HEADER = "Idempotency-Key"
KEY = re.compile(r"[\x21-\x7e]{1,200}")

# Refusals of the order itself (400); the others depend on the state of the account (409).
INVALID_ORDER = frozenset({Code.QUANTITY_TOO_SMALL, Code.NOTIONAL_TOO_SMALL})


class QuantityField(ExactField):
    """Above zero, from a JSON number or a string."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, bool):
            self.fail("invalid")
        quantity = super().to_internal_value(data)
        if not quantity > 0:
            raise ValidationError("Ensure this value is greater than 0.")
        return quantity


class NewOrderSerializer(serializers.Serializer[Any]):
    action = serializers.ChoiceField(choices=SIDES)
    symbol = TextField(max_length=40)
    quantity = QuantityField(help_text=f"Above zero, of at most {DIGITS} digits and {PLACES} places; rounded to lots.")

    def validate_symbol(self, text: str) -> Symbol:
        try:
            symbol = Symbol.objects.filter(symbol=parse_symbol(text)).first()
        except SymbolError as error:
            raise ValidationError(str(error)) from error
        if symbol is None:
            raise ValidationError("This symbol is unknown: follow it first.")
        return symbol


class PlacedOrderSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["executed"])
    action = serializers.ChoiceField(choices=SIDES)
    symbol = serializers.CharField()
    price = AmountField()
    quantity = ExactField()
    commission = AmountField()
    slippage = AmountField()
    account = AccountSerializer()
    position = PositionSerializer(allow_null=True, help_text="The position in the symbol after the order.")
    trade = TradeSerializer()


IDEMPOTENCY = OpenApiParameter(
    HEADER,
    str,
    OpenApiParameter.HEADER,
    description="A key chosen by the client. A repeated request places no order and returns the stored response; "
    "a different order with the same key is a 409.",
)


class DemoOrderViewSet(AccountViewSet):
    error_statuses = (404, 409, 503)

    @extend_schema(request=NewOrderSerializer, responses={200: PlacedOrderSerializer}, parameters=[IDEMPOTENCY])
    def create(self, request: Request) -> Response:
        """Place a paper order: with the pre-trade checks, costs and ledger of the agents, at the current price."""
        wanted = body(NewOrderSerializer, request)
        ticket = Ticket(Action[wanted["action"]], wanted["symbol"], wanted["quantity"])
        once = IdempotentRequest(self.account, key_of(request), str(ticket))
        answer = place_order(once, ticket, lambda outcome: response_to(self.account, outcome))
        return Response(answer.data, status=answer.status)


def key_of(request: Request) -> str:
    """The idempotency key of the request; empty without one."""
    key: str = request.headers.get(HEADER, "")
    if key and not KEY.fullmatch(key):
        detail = f"{HEADER} must be 1 to 200 printable ASCII characters without spaces."
        raise ValidationError(detail, "invalid_idempotency_key")
    return key


def response_to(account: Account, outcome: Trade | Refusal) -> StoredResponse:
    """The response as it is stored for repeated requests."""
    if isinstance(outcome, Refusal):
        status = 400 if outcome.code in INVALID_ORDER else 409
        shape: Any = {"detail": outcome.detail, "code": outcome.code.value}
    else:
        placed = {
            "status": "executed",
            "action": outcome.action,
            "symbol": outcome.symbol.symbol,
            "price": outcome.price,
            "quantity": outcome.quantity,
            "commission": outcome.commission,
            "slippage": outcome.slippage,
            "account": value_of(account),
            "position": open_positions(account).filter(symbol=outcome.symbol).first(),
            "trade": outcome,
        }
        status, shape = 200, PlacedOrderSerializer(placed).data
    return StoredResponse(status, write_json(shape).decode())
