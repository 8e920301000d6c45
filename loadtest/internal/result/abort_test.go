package result

import "testing"

func TestBroken(t *testing.T) {
	d := &Document{
		Scenario:    "fanout",
		Connections: Connections{Attempts: 1000, Failed: 10, Disconnected: 2},
		Messages:    Messages{Sent: 90, Skipped: 9, Expected: 999, Delivered: 996, Lost: 3, Answered: 2000, Unanswered: 4},
		Latencies:   map[string]Latency{Delivery: {Count: 1, P50: 5000, P99: 40_000, Max: 90_000}},
		Errors:      map[string]int64{"disconnected: ping timeout": 2},
	}
	tests := []struct {
		rule           string
		broken, inTime bool // at the end of a stage, within one
	}{
		{"delivery.lost==0", true, true},
		{"delivery.lost<3", true, true},
		{"delivery.lost<=2", true, true},
		{"delivery.lost<=3", false, false},
		{"delivery.lost==5", false, false}, // two more may come
		{"delivery.lost>5", false, false},
		{"delivery.lost!=3", false, false},
		{"delivery.duplicated==0", false, false},
		{"connections.lost<1", true, true},
		{"errors==0", true, true},
		{"errors.disconnected: ping timeout==0", true, true},
		{"errors.others==0", false, false},
		{"delivery.ratio==1", true, true},
		{"delivery.ratio>=1", true, true},
		{"delivery.ratio>=99.9%", false, false}, // 999 are not enough to tell
		{"echo.ratio>=99.9%", true, true},
		{"echo.ratio>=99%", false, false},
		{"connect.errors<0.1%", true, true},
		{"connect.errors<5%", false, false},
		{"sent.skipped<1%", false, false},
		{"sent.skipped==0", true, true},
		{"latency.max<80ms", true, true},
		{"delivery.max>=95ms", false, false},
		{"latency.p99<30ms", true, false},
		{"latency.p99<50ms", false, false},
		{"delivery.p95<1us", false, false}, // is not known yet
		{"delivery.min>1ms", false, false},
		{"delivery.mean>1ms", false, false},
		{"echo.p99<1us", false, false}, // there is none
		{"delivery.rate>1M", false, false},
		{"connections.peak>10", false, false},
		{"generator.lag<1us", false, false},
	}
	for _, test := range tests {
		r, err := ParseRule(test.rule)
		if err != nil {
			t.Fatal(err)
		}
		if _, broken := r.Broken(d, true); broken != test.broken {
			t.Errorf("%s: broken for good at the end of a stage: %v", test.rule, broken)
		}
		if _, broken := r.Broken(d, false); broken != test.inTime {
			t.Errorf("%s: broken for good: %v", test.rule, broken)
		}
	}
}
