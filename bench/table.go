//go:build linux

package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// sample is one measurement of one server.
type sample struct {
	value float64 // in the row's unit
	cpu   float64 // processor time of the server, in the row's cpuUnit
	peak  int64   // bytes of resident memory of the server
}

// row is one line of the table: the emulator against a peer, or alone against a bound.
type row struct {
	name       string
	unit       string
	lessIsGood bool    // of the values
	ours       sample  // the median of the rounds, as is
	peer       *sample // nil: the row stands alone
	peerName   string
	cpuUnit    string // "": the processor time is not shown

	// What is wanted; 0 is nothing.
	ratio    float64 // of the values, at least, or at most where less is good
	cpuRatio float64 // of the processor times, at most
	bound    float64 // of our value, at most
	memory   int64   // our peak, at most
}

// ratioOf is ours divided by the peer's.
func ratioOf(ours, peer float64) float64 {
	if peer == 0 {
		return 0
	}
	return ours / peer
}

// misses says what of the wanted is not there.
func (r row) misses() []string {
	var misses []string
	if r.peer != nil {
		ratio := ratioOf(r.ours.value, r.peer.value)
		switch {
		case r.ratio == 0:
		case r.lessIsGood && ratio > r.ratio:
			misses = append(misses, fmt.Sprintf("ratio > %g", r.ratio))
		case !r.lessIsGood && ratio < r.ratio:
			misses = append(misses, fmt.Sprintf("ratio < %g", r.ratio))
		}
		if r.cpuRatio != 0 && ratioOf(r.ours.cpu, r.peer.cpu) > r.cpuRatio {
			misses = append(misses, fmt.Sprintf("CPU > %g ×", r.cpuRatio))
		}
	}
	if r.bound != 0 && r.ours.value > r.bound {
		misses = append(misses, fmt.Sprintf("> %g %s", r.bound, r.unit))
	}
	if r.memory != 0 && r.ours.peak > r.memory {
		misses = append(misses, "memory > "+mib(r.memory))
	}
	return misses
}

// wants says what the row's targets are.
func (r row) wants() string {
	var wants []string
	sign := "≥"
	if r.lessIsGood {
		sign = "≤"
	}
	if r.ratio != 0 {
		wants = append(wants, fmt.Sprintf("ratio %s %g", sign, r.ratio))
	}
	if r.cpuRatio != 0 {
		wants = append(wants, fmt.Sprintf("CPU ≤ %g ×", r.cpuRatio))
	}
	if r.bound != 0 {
		wants = append(wants, fmt.Sprintf("≤ %g %s", r.bound, r.unit))
	}
	if r.memory != 0 {
		wants = append(wants, "memory ≤ "+mib(r.memory))
	}
	return strings.Join(wants, ", ")
}

func mib(bytes int64) string { return fmt.Sprintf("%.0f MiB", float64(bytes)/(1<<20)) }

// number shows three digits or so.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// printTable writes the rows and returns how many miss a target.
func printTable(w io.Writer, rows []row) (missed int) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "WHAT\tUNIT\tOURS\tPEER\tRATIO\tCPU\tPEAK MEMORY\tTARGET\t")
	for _, r := range rows {
		peer, ratio, cpu, memory := "", "", "", ""
		if r.peer != nil {
			peer = number(r.peer.value) + " " + r.peerName
			ratio = number(ratioOf(r.ours.value, r.peer.value))
		}
		if r.cpuUnit != "" {
			cpu = number(r.ours.cpu)
			if r.peer != nil {
				cpu += " : " + number(r.peer.cpu)
			}
			cpu += " " + r.cpuUnit
		}
		if r.ours.peak > 0 {
			memory = mib(r.ours.peak)
			if r.peer != nil && r.peer.peak > 0 {
				memory += " : " + mib(r.peer.peak)
			}
		}
		verdict := r.wants()
		if misses := r.misses(); misses != nil {
			missed++
			verdict += "  MISSED: " + strings.Join(misses, ", ")
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", r.name, r.unit, number(r.ours.value), peer, ratio, cpu, memory,
			verdict)
	}
	t.Flush()
	return missed
}

// median is the sample in the middle by value; the most memory of all.
func median(samples []sample) sample {
	sorted := slices.SortedFunc(slices.Values(samples), func(a, b sample) int { return cmp.Compare(a.value, b.value) })
	m := sorted[len(sorted)/2]
	for _, s := range samples {
		m.peak = max(m.peak, s.peak)
	}
	return m
}
