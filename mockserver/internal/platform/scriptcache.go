package platform

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// scriptCache has the scripts of records by their JSON. There are few, and decoding one costs more than all the
// rest of a record: without it, a start with 100,000 requests takes four times the CPU time; see bench/README.md.
type scriptCache map[string]*scenario.Scenario

func (c scriptCache) decode(data []byte) (record, error) {
	var v struct {
		record
		Script json.RawMessage `json:"script"` // in place of the record's own
	}
	v.work = new(work)
	if err := json.Unmarshal(data, &v); err != nil {
		return record{}, err
	}
	script := c[string(v.Script)]
	if script == nil {
		if err := json.Unmarshal(v.Script, &script); err != nil {
			return record{}, fmt.Errorf("its script: %w", err)
		}
		if script == nil {
			return record{}, errors.New("it has no script")
		}
		c[string(v.Script)] = script
	}
	v.record.Script = script
	return v.record, nil
}
