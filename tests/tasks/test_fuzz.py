"""Whatever is written for a minute or for topics, only the named errors come out."""

from datetime import datetime

from hypothesis import strategies as st

from pipeline import minutes
from pipeline.errors import BadSettings
from pipeline.settings import TopicsParameter
from tests.fuzzing import examples, fuzz


@examples
def test_timestamps(examples: int) -> None:
    """A text is refused by name, or is exactly how the minute it gives is written, which is not later than now."""

    def test(text: str) -> None:
        try:
            minute = minutes.MinuteParameter().parse(text)
        except BadSettings:
            return
        assert minutes.name(minute) == text
        assert minute <= minutes.present_minute()

    digits = st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{4}\n?", fullmatch=True)
    unicode_digits = st.from_regex(r"\d{4}-\d\d-\d\dT\d{4}", fullmatch=True)
    fuzz(examples, test, digits | unicode_digits | st.text() | st.datetimes().map(lambda each: f"{each:%Y-%m-%dT%H%M}"))


@examples
def test_topics(examples: int) -> None:
    """Topics of any text are read back as they were, and every minute has one of them."""

    def test(text: str, minute: datetime) -> None:
        parameter = TopicsParameter()
        topics = parameter.parse(text)
        assert parameter.parse(parameter.serialize(topics)) == topics
        if topics:
            assert minutes.topic_of(minute, topics) in topics

    fuzz(examples, test, st.text(), st.datetimes())
