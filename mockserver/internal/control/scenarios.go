package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/gorilla/mux"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

func (a api) scenarios(_ http.ResponseWriter, _ *http.Request, q query) (any, error) {
	return pageOf("scenarios", a.Scenarios.Scenarios(), q), nil
}

// addScenario takes a script as the body, YAML or JSON.
func (a api) addScenario(w http.ResponseWriter, r *http.Request, _ query) (any, error) {
	script, err := readScenario(r)
	if err != nil {
		return nil, err
	}
	if len(script.Files()) > 0 && !fromHere(r) {
		return nil, problem{http.StatusForbidden, errors.New("this scenario names files of the emulator's " +
			"machine, which can be asked for from that machine only; " +
			"give it to the emulator when it starts, with " + a.OptionName("Scenarios"))}
	}
	if err := a.Scenarios.AddScenario(script); err != nil {
		return nil, a.failed(http.StatusBadRequest, err)
	}
	answer(w, http.StatusCreated, script)
	return nil, errWritten
}

// fromHere reports whether a call comes from this machine, over loopback.
func fromHere(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	ip := net.ParseIP(host)
	return err == nil && ip.IsLoopback()
}

func (a api) removeScenarios(_ http.ResponseWriter, _ *http.Request, q query) (any, error) {
	removed := a.Scenarios.RemoveScenario(q.name)
	if q.name != "" && removed == 0 {
		var have []string
		for _, script := range a.Scenarios.Scenarios() {
			have = append(have, script.Name)
		}
		return nil, problem{http.StatusNotFound, fmt.Errorf("no scenario in use is called %q; in use: %s", q.name,
			strings.Join(have, ", "))}
	}
	return map[string]any{"removed": removed}, nil
}

func readScenario(r *http.Request) (*scenario.Scenario, error) {
	data, err := readBody(r)
	if err != nil {
		return nil, err
	}
	script, err := scenario.Parse("the posted scenario", data)
	if err != nil {
		return nil, problem{http.StatusBadRequest, err}
	}
	return script, nil
}

// checkScenario says what is wrong with a script, and changes nothing.
func (a api) checkScenario(_ http.ResponseWriter, r *http.Request, _ query) (any, error) {
	return readScenario(r)
}

// scenario answers with a scenario in use as YAML, to be edited.
func (a api) scenario(w http.ResponseWriter, r *http.Request, _ query) (any, error) {
	name := mux.Vars(r)["name"]
	for _, script := range a.Scenarios.Scenarios() {
		if script.Name == name {
			text, err := asYAML(script)
			return writeYAML(w, text, err)
		}
	}
	return nil, problem{http.StatusNotFound, fmt.Errorf("no scenario in use is called %q; GET %s/scenarios lists them",
		name, Base)}
}

// asYAML writes a scenario as people write them.
func asYAML(script *scenario.Scenario) ([]byte, error) {
	data, err := json.Marshal(script)
	if err != nil {
		return nil, err
	}
	return yaml.JSONToYAML(data)
}

func writeYAML(w http.ResponseWriter, text []byte, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	w.Header().Set("Content-Type", "application/yaml")
	w.Header().Set("Cache-Control", "no-store")
	w.Write(text)
	return nil, errWritten
}

// builtin lists the built-in scenarios.
func (a api) builtin(_ http.ResponseWriter, _ *http.Request, q query) (any, error) {
	type one struct {
		Name        string        `json:"name"`
		Description string        `json:"description"`
		When        scenario.When `json:"when,omitempty"`
	}
	list := []one{}
	for _, name := range scenario.Builtins() {
		script, err := scenario.Builtin(name)
		if err != nil {
			return nil, err
		}
		list = append(list, one{script.Name, script.Description, script.When})
	}
	return pageOf("scenarios", list, q), nil
}

// builtinText answers with the text of a built-in scenario.
func (a api) builtinText(w http.ResponseWriter, r *http.Request, _ query) (any, error) {
	name := mux.Vars(r)["name"]
	if !slices.Contains(scenario.Builtins(), name) {
		return nil, problem{http.StatusNotFound, errors.New(unknown("built-in scenario", name, scenario.Builtins()))}
	}
	text, err := fs.ReadFile(fixtures.Scenarios(), name+".yaml")
	return writeYAML(w, text, err)
}
