from engine.terms import RISK_PER_TRADE
from trading.models import RISK_LEVELS


def test_every_risk_level_has_its_risk() -> None:
    assert set(RISK_LEVELS) == set(RISK_PER_TRADE)
