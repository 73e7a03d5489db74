"""What Prometheus is told of the answers."""

from squero.metrics import Answers


def samples(answers):
    """Every sample by its name and labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in answers.collect()
        for sample in metric.samples
    }


class TestAnswers:
    def test_are_counted_by_route_and_status(self):
        answers = Answers()
        for route, status in [("/a", 200), ("/a", 200), ("/a", 404), ("/b", 200)]:
            answers.count(route, status, 0.001)
        told = samples(answers)
        assert told["squero_http_requests_total", "/a", "200"] == 2
        assert told["squero_http_requests_total", "/a", "404"] == 1
        assert told["squero_http_requests_total", "/b", "200"] == 1
        assert told["squero_http_request_seconds_count", "/a"] == 3

    def test_times_fall_into_every_bucket_that_holds_them(self):
        answers = Answers()
        for seconds in (0.005, 0.006, 2.0, 60.0):
            answers.count("/a", 200, seconds)
        told = samples(answers)
        found = [
            told["squero_http_request_seconds_bucket", "/a", bound]
            for bound in ("0.005", "0.01", "2.5", "10.0", "+Inf")
        ]
        assert found == [1, 2, 3, 3, 4]
        assert told["squero_http_request_seconds_sum", "/a"] == 62.011

    def test_none_yet(self):
        assert samples(Answers()) == {}
