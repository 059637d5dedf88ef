"""What time it is in the market of an account."""

from datetime import UTC, datetime, time

from django.db.models import Max
from django.utils import timezone

from trading.models import Account, EquityPoint, Trade


def market_now(account: Account) -> datetime:
    """The latest moment of the market that the account has lived through: its last valuation or its last trade.

    A replayed market lives in the past, and its "today" is the day that is played. The clock on the wall counts only
    for an account that has not seen any market yet.
    """
    valued = EquityPoint.objects.filter(account=account.pk).aggregate(latest=Max("time"))["latest"]
    traded = Trade.objects.filter(account=account.pk).aggregate(latest=Max("timestamp"))["latest"]
    return max((moment for moment in (valued, traded) if moment), default=timezone.now())


def day_start(moment: datetime) -> datetime:
    return datetime.combine(moment.astimezone(UTC).date(), time.min, UTC)
