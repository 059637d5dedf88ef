"""/api/trading/demo/orders/: paper orders by hand."""

import re
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from engine.orders import Action, Code
from market.errors import SymbolError
from market.models import Symbol
from market.symbols import parse_symbol
from trading.api.books import BookMixin
from trading.api.inputs import TextField, body
from trading.api.numbers import DIGITS, PLACES, AmountField, ExactField
from trading.api.positions import AccountSerializer, PositionSerializer
from trading.api.trades import SIDES, TradeSerializer
from trading.books.idempotency import IdempotentRequest, StoredResponse
from trading.models import Account, Trade
from trading.runtime.manual_orders import Refusal, Ticket, place_order
from trading.selectors.portfolio import value_of
from trading.selectors.positions import open_positions
from web.json import write_json

HEADER = "Idempotency-Key"
KEY = re.compile(r"[\x21-\x7e]{1,200}")

# What is wrong with the order itself; all other refusals are about the account as it stands.
UNSOUND = frozenset({Code.QUANTITY_TOO_SMALL, Code.NOTIONAL_TOO_SMALL})


class QuantityField(ExactField):
    """Above zero, from a JSON number or its text."""

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
            raise ValidationError("Nobody has asked for this symbol yet: follow it first.")
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
    position = PositionSerializer(allow_null=True, help_text="What is held of the symbol now.")
    trade = TradeSerializer()


IDEMPOTENCY = OpenApiParameter(
    HEADER,
    str,
    OpenApiParameter.HEADER,
    description="A name that the client gives to this order. Sent again under it, the order is not placed again and "
    "the first answer is repeated; another order under the same name is a 409.",
)


class DemoOrders(BookMixin, APIView):
    error_statuses = (404, 409, 503)

    @extend_schema(request=NewOrderSerializer, responses=PlacedOrderSerializer, parameters=[IDEMPOTENCY])
    def post(self, request: Request) -> Response:
        """Place a paper order: through the same gate, costs and ledger as the agents, at a price that we look up."""
        wanted = body(NewOrderSerializer, request)
        ticket = Ticket(Action[wanted["action"]], wanted["symbol"], wanted["quantity"])
        once = IdempotentRequest(self.account, key_of(request), str(ticket))
        answer = place_order(once, ticket, lambda outcome: said(self.account, outcome))
        return Response(answer.data, status=answer.status)


def key_of(request: Request) -> str:
    """The name that the client gave to the request; empty when there is none."""
    key: str = request.headers.get(HEADER, "")
    if key and not KEY.fullmatch(key):
        detail = f"{HEADER} must be 1 to 200 printable ASCII characters without spaces."
        raise ValidationError(detail, "invalid_idempotency_key")
    return key


def said(account: Account, outcome: Trade | Refusal) -> StoredResponse:
    """The answer as it is kept for a second request."""
    if isinstance(outcome, Refusal):
        status = 400 if outcome.code in UNSOUND else 409
        shape: Any = {"detail": outcome.detail, "code": outcome.code.value}
    else:
        status, shape = 200, PlacedOrderSerializer(_placed(account, outcome)).data
    return StoredResponse(status, write_json(shape).decode())


def _placed(account: Account, trade: Trade) -> dict[str, Any]:
    return {
        "status": "executed",
        "action": trade.action,
        "symbol": trade.symbol.symbol,
        "price": trade.price,
        "quantity": trade.quantity,
        "commission": trade.commission,
        "slippage": trade.slippage,
        "account": value_of(account),
        "position": open_positions(account).filter(symbol=trade.symbol).first(),
        "trade": trade,
    }
