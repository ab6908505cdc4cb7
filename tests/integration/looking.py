"""Short words for what tests look at."""


def values(messages):
    return [message.value() for message in messages]


def code_of(caught):
    """Of the KafkaException that pytest.raises() caught."""
    return caught.value.args[0].code()
