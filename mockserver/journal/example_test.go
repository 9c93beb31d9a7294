package journal_test

import (
	"encoding/json"
	"fmt"
	"log"
	"strings"

	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// A program reads the file that the emulator has written its journal to, and counts the polls.
func Example() {
	file := strings.NewReader(`
{"seq":1,"at":"2015-09-09T07:13:49Z","on":"create","request":10534,"method":"GET","status":200,"state":"draft"}
{"seq":2,"at":"2015-09-09T07:13:50Z","on":"status","request":10534,"method":"GET","status":200,"state":"draft"}
{"seq":3,"at":"2015-09-09T07:13:55Z","on":"status","request":10534,"method":"GET","status":503,"fault":"faults[0]: status"}
`)
	polls, faults := 0, 0
	for lines := json.NewDecoder(file); lines.More(); {
		var e journal.Event
		if err := lines.Decode(&e); err != nil {
			log.Fatal(err)
		}
		if e.On == "status" {
			polls++
		}
		if e.Fault != "" {
			faults++
		}
	}
	fmt.Println(polls, "polls,", faults, "fault")
	// Output:
	// 2 polls, 1 fault
}
