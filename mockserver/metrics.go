package mockserver

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	prometheus "github.com/VictoriaMetrics/metrics"

	"github.com/upgrademock/upgrademock/mockserver/internal/api/database"
	"github.com/upgrademock/upgrademock/mockserver/internal/api/script"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// metrics count what the journal gets. Each server has its own.
type metrics struct {
	calls    *family
	answered map[string]*prometheus.Counter // calls with the usual status, found without making its label
	failures *family
	faults   *family
	sftp     *family
	rsync    *family
	moved    *family
	received *prometheus.Counter
	sent     *prometheus.Counter

	families []*family
	requests func() []platform.Snapshot
}

// A family is the counters of one name, which differ by their labels.
type family struct {
	name, help string
	labels     []string
	set        *prometheus.Set
}

// with returns the counter with the values of the labels.
func (f *family) with(values ...string) *prometheus.Counter {
	return f.set.GetOrCreateCounter(labelled(f.name, f.labels, values))
}

func labelled(name string, labels, values []string) string {
	pairs := make([]string, len(labels))
	for i, label := range labels {
		pairs[i] = label + "=" + strconv.Quote(values[i])
	}
	if len(pairs) > 0 {
		name += "{" + strings.Join(pairs, ",") + "}"
	}
	return name
}

func describe(w io.Writer, name, help, kind string) {
	fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func newMetrics(requests func() []platform.Snapshot) *metrics {
	m := &metrics{requests: requests, answered: make(map[string]*prometheus.Counter)}
	counters := func(name, help string, labels ...string) *family {
		f := &family{"upgrademock_" + name, help, labels, prometheus.NewSet()}
		m.families = append(m.families, f)
		return f
	}
	m.calls = counters("calls_total", "HTTP exchanges, by what was called and the status answered.", "on", "status")
	m.failures = counters("failures_total", "Failures in answers, by their reason.", "reason")
	m.faults = counters("faults_total", "Scripted faults that were used, by where they were triggered.", "on")
	m.sftp = counters("sftp_events_total", "What happened on SFTP connections, by kind.", "kind")
	m.rsync = counters("rsync_events_total",
		"What happened on connections of the script API's transfers, by kind.", "kind")
	m.moved = counters("rsync_file_bytes_total",
		"Bytes of files in sessions of rsync: received, sent, or saved because they were there already.", "how")
	m.received = counters("dump_bytes_received_total", "Bytes of dumps received, over HTTP, SFTP and rsync.").with()
	m.sent = counters("http_bytes_sent_total", "Bytes of answers sent over HTTP.").with()
	for _, name := range append(database.Methods(), script.Kinds()...) {
		m.answered[name] = m.calls.with(name, "200")
	}
	return m
}

// ServeHTTP writes the metrics as Prometheus reads them, with those of the process.
func (m *metrics) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	for _, f := range m.families {
		describe(w, f.name, f.help, "counter")
		f.set.WritePrometheus(w)
	}
	states := make(map[string]uint64)
	for _, r := range m.requests() {
		states[r.State]++
	}
	const name = "upgrademock_requests"
	describe(w, name, "Requests, by state.", "gauge")
	for _, state := range slices.Sorted(maps.Keys(states)) {
		prometheus.WriteGaugeUint64(w, labelled(name, []string{"state"}, []string{state}), states[state])
	}
	prometheus.WriteProcessMetrics(w)
}

// count adds an event.
func (m *metrics) count(e *journal.Event) {
	if e.Fault != "" {
		m.faults.with(e.On).Inc()
	}
	if e.Received > 0 {
		m.received.AddInt64(e.Received)
	}
	switch {
	case e.Method != "":
		m.sent.AddInt64(e.Sent)
		if answered := m.answered[e.On]; answered != nil && e.Status == http.StatusOK {
			answered.Inc()
		} else {
			m.calls.with(e.On, strconv.Itoa(e.Status)).Inc()
		}
		for _, reason := range e.Failures {
			m.failures.with(reason).Inc()
		}
	case strings.HasPrefix(e.On, rsyncPrefix):
		m.rsync.with(e.On).Inc()
		if r := e.Rsync; r != nil {
			m.moved.with("received").AddInt64(e.Received)
			m.moved.with("sent").AddInt64(e.Sent)
			m.moved.with("saved").AddInt64(r.Saved)
		}
	case e.Session != 0:
		m.sftp.with(e.On).Inc()
		if e.On == "sftp.close" || e.On == "sftp.abort" {
			for _, r := range e.Written {
				m.received.AddInt64(r.To - r.From)
			}
		}
	}
}

// rsyncPrefix begins the names of the events of transfers.
const rsyncPrefix = "rsync."
