package platform

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
)

// zonesText has a name of the IANA time zone database per line, sorted: those of 2025c with its backward and
// backzone files, and those that were in its releases once and are no longer, which old clients still offer
// (Canada/East-Saskatchewan until 2017c, US/Pacific-New and SystemV/* until 2020b, Asia/Riyadh87 and its like
// until 2013e).
//
// Deliberately a list, and not [time.LoadLocation]: which names that knows depends on the files of the machine,
// and an empty image has none.
//
//go:embed zones.txt
var zonesText string

var zones = sync.OnceValue(func() []string { return strings.Fields(zonesText) })

func isTimezone(name string) bool {
	_, found := slices.BinarySearch(zones(), name)
	return found
}
