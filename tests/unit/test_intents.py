"""What the catalog is told of who asks: `intent` and `client_id`, last in the query."""

from kafkaroute import Consumer, Producer, resolve

A = "kafka://x/a"
ASKED = "config_profile=default&channel=kafka%3A%2F%2Fx%2Fa&kafka.env=prod"


def test_each_kind_of_client_says_what_it_wants(fake):
    fake.put(A, "ta", "A")
    settings = fake.settings(client_id="app 1", additional_params={"kafka": {"env": "prod"}})
    with Producer(settings) as producer:
        producer.produce(A, b"v")
        producer.poll(0)
    with Consumer(settings) as consumer:
        consumer.subscribe([A])
    resolve(A, settings)
    own = "&client_id=app+1"
    assert [one.query for one in fake.stub.requests] == [
        f"{ASKED}&intent=produce{own}",
        f"{ASKED}&intent=consume{own}",
        f"{ASKED}{own}",
    ]
