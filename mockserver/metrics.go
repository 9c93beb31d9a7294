package mockserver

import (
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/upgrademock/upgrademock/mockserver/internal/api/database"
	"github.com/upgrademock/upgrademock/mockserver/internal/api/script"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// metrics count what the journal gets. Each server has a registry of its own.
type metrics struct {
	calls    *prometheus.CounterVec
	answered map[string]prometheus.Counter // calls with the usual status, found without making its label
	failures *prometheus.CounterVec
	faults   *prometheus.CounterVec
	sftp     *prometheus.CounterVec
	rsync    *prometheus.CounterVec
	moved    *prometheus.CounterVec
	received prometheus.Counter
	sent     prometheus.Counter
	handler  func() http.Handler // made when first asked: most servers in tests never are
}

func newMetrics(requests func() []platform.Snapshot) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "upgrademock", Name: name, Help: help},
			labels)
	}
	m := &metrics{
		calls: counter("calls_total", "HTTP exchanges, by what was called and the status answered.", "on",
			"status"),
		failures: counter("failures_total", "Failures in answers, by their reason.", "reason"),
		faults:   counter("faults_total", "Scripted faults that were used, by where they were triggered.", "on"),
		sftp:     counter("sftp_events_total", "What happened on SFTP connections, by kind.", "kind"),
		rsync: counter(
			"rsync_events_total",
			"What happened on connections of the script API's transfers, by kind.",
			"kind",
		),
		moved: counter("rsync_file_bytes_total", "Bytes of files in sessions of rsync: received, sent, or saved because "+
			"they were there already.", "how"),
		received: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "upgrademock",
			Name: "dump_bytes_received_total", Help: "Bytes of dumps received, over HTTP, SFTP and rsync."}),
		sent: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "upgrademock",
			Name: "http_bytes_sent_total", Help: "Bytes of answers sent over HTTP."}),
	}
	m.answered = make(map[string]prometheus.Counter)
	for _, name := range append(database.Methods(), script.Kinds()...) {
		m.answered[name] = m.calls.WithLabelValues(name, "200")
	}
	m.handler = sync.OnceValue(func() http.Handler {
		registry := prometheus.NewRegistry()
		registry.MustRegister(
			m.calls,
			m.failures,
			m.faults,
			m.sftp,
			m.rsync,
			m.moved,
			m.received,
			m.sent,
			requestCollector{requests},
			collectors.NewGoCollector(),
		)
		return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	})
	return m
}

// count adds an event.
func (m *metrics) count(e *journal.Event) {
	if e.Fault != "" {
		m.faults.WithLabelValues(e.On).Inc()
	}
	if e.Received > 0 {
		m.received.Add(float64(e.Received))
	}
	switch {
	case e.Method != "":
		m.sent.Add(float64(e.Sent))
		if answered := m.answered[e.On]; answered != nil && e.Status == http.StatusOK {
			answered.Inc()
		} else {
			m.calls.WithLabelValues(e.On, strconv.Itoa(e.Status)).Inc()
		}
		for _, reason := range e.Failures {
			m.failures.WithLabelValues(reason).Inc()
		}
	case strings.HasPrefix(e.On, rsyncPrefix):
		m.rsync.WithLabelValues(e.On).Inc()
		if r := e.Rsync; r != nil {
			m.moved.WithLabelValues("received").Add(float64(e.Received))
			m.moved.WithLabelValues("sent").Add(float64(e.Sent))
			m.moved.WithLabelValues("saved").Add(float64(r.Saved))
		}
	case e.Session != 0:
		m.sftp.WithLabelValues(e.On).Inc()
		if e.On == "sftp.close" || e.On == "sftp.abort" {
			for _, r := range e.Written {
				m.received.Add(float64(r.To - r.From))
			}
		}
	}
}

// rsyncPrefix begins the names of the events of transfers.
const rsyncPrefix = "rsync."

// requestCollector counts requests by state when the metrics are read.
type requestCollector struct{ requests func() []platform.Snapshot }

var requestsDesc = prometheus.NewDesc("upgrademock_requests", "Requests, by state.", []string{"state"}, nil)

// Describe is prometheus.Collector's.
func (c requestCollector) Describe(ch chan<- *prometheus.Desc) { ch <- requestsDesc }

// Collect is prometheus.Collector's.
func (c requestCollector) Collect(ch chan<- prometheus.Metric) {
	states := make(map[string]int)
	for _, r := range c.requests() {
		states[r.State]++
	}
	for state, n := range states {
		ch <- prometheus.MustNewConstMetric(requestsDesc, prometheus.GaugeValue, float64(n), state)
	}
}
