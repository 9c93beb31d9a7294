package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Validate reports what is wrong with a script written in Go, as an [*Error] whose mistakes have a Path but no
// position. What Parse returned is valid.
func (s *Scenario) Validate() error {
	mistakes := check(s)
	for i := range mistakes {
		mistakes[i].File = "scenario " + quote(s.Name)
	}
	return asError(mistakes)
}

// checker judges what values mean, alone and together.
type checker struct {
	api      string // the one that the script is for; "" for both
	mistakes []Mistake
}

func check(s *Scenario) []Mistake {
	var c checker
	c.at("name", printable(s.Name))
	if slices.Contains(apis, s.api()) {
		c.api = s.api()
	}
	for _, key := range slices.Sorted(maps.Keys(s.When)) {
		c.at("when."+key, c.when(key, s.When[key]))
	}
	if s.Steps != nil && len(s.Steps) == 0 {
		c.at("steps", wrong("a request is always in some state: wanted at least one step; without `steps` there are "+
			"those of `default`"))
	}
	for i, step := range s.Steps {
		c.step(fmt.Sprintf("steps[%d]", i), step, i == len(s.Steps)-1)
	}
	for i, fault := range s.Faults {
		c.fault(fmt.Sprintf("faults[%d]", i), fault)
	}
	c.upgraded(s.Upgraded)
	c.run(s.Run)
	if s.Expect != nil {
		c.expect(s.Expect)
	}
	return c.mistakes
}

// at notes the mistake, if err is one.
func (c *checker) at(path string, err error) {
	if err != nil {
		c.mistakes = append(c.mistakes, mistakeAt(path, err))
	}
}

func (c *checker) when(key, glob string) error {
	switch valid := whenKeys(c.api); {
	case key == keyAPI && !slices.Contains(apis, glob):
		return unknown("API", glob, apis)
	case slices.Contains(valid, key):
	case slices.Contains(whenKeys(""), key):
		return c.misplaced("parameter of create", key, valid)
	default:
		return unknown("parameter of create", key, valid)
	}
	if _, err := match(glob, ""); err != nil {
		return notGlob(glob)
	}
	return nil
}

func notGlob(glob string) error {
	return wrong("not a glob: %s: `[` wants its `]`, and `\\` a character after it", quote(glob))
}

func (c *checker) step(path string, step Step, last bool) {
	switch {
	case step.State == "":
		c.at(path+".state", wrong("a step wants a `state`"))
	case strings.TrimSpace(step.State) != step.State:
		c.at(path+".state", wrong("the name of a state has no blanks around it, found %q", step.State))
	default:
		c.at(path+".state", printable(step.State))
	}
	switch {
	case last && step.For != For{}:
		c.at(path+".for", wrong("the last step is for ever: what comes after `%s`? Leave `for` out or add a step", step.For))
	case !last && step.For == For{}:
		c.at(path+".for", wrong("only the last step is for ever: wanted how long, such as `for: 1 poll`, `for: 2s` or "+
			"`for: released`"))
	default:
		c.at(path+".for", step.For.check())
	}
	for _, key := range slices.Sorted(maps.Keys(step.Set)) {
		c.at(path+".set."+key, c.set(key, step.Set[key]))
	}
	switch {
	case step.Log == nil:
	case c.api == APIDatabase:
		c.at(path+".log", wrong("the %s API has no log: `log` is for `when: {api: %s}`", APIDatabase, APIScript))
	case step.Log.Text != "" && step.Log.File != "":
		c.at(path+".log", wrong("a log is either a text or a file, not both"))
	}
}

func (c *checker) fault(path string, f Fault) {
	place, ok := findPlace(f.On)
	switch {
	case f.On == "":
		c.at(path+".on", wrong("a fault wants `on`: where it triggers"))
	case !ok:
		c.at(path+".on", unknown("place", f.On, placeNames(c.api)))
	case c.api != "" && place.api != c.api:
		c.at(path+".on", c.misplaced("place", f.On, placeNames(c.api)))
	}
	for _, number := range []struct {
		name  string
		value int64
	}{
		{"skip", int64(f.Skip)}, {"times", int64(f.Times)}, {"every", int64(f.Every)},
		{"after", f.After}, {"delay", int64(f.Delay)}, {"rate", f.Rate},
	} {
		if number.value < 0 {
			c.at(path+"."+number.name, wrong("not negative, found %d", number.value))
		}
	}
	actions := f.actions()
	if ok {
		c.inPlace(path, f, place, actions)
	}
	switch {
	case len(actions) > 1:
		c.at(path+"."+actions[1], wrong("a fault has one action, this has `%s`: make them faults of "+
			"their own", strings.Join(actions, "`, `")))
	case len(actions) == 0 && f.Delay == 0 && f.Rate == 0:
		expected := []string{"delay"}
		if ok {
			expected = append(slices.Clone(place.actions), "delay")
		}
		c.at(path, problem{message: "nothing happens: a fault wants an action", expected: expected})
	}
	c.answer(path, f, place)
}

// inPlace checks what goes wrong against what can go wrong there.
func (c *checker) inPlace(path string, f Fault, place place, actions []string) {
	for _, action := range actions {
		if !slices.Contains(place.actions, action) {
			c.at(path+"."+action, problem{
				message:  fmt.Sprintf("%s cannot happen on %s", quote(action), quote(f.On)),
				expected: place.actions,
			})
		}
	}
	if f.Rate > 0 && !place.rate {
		c.at(path+".rate", wrong("no bytes flow on %s that a rate could slow down: use `delay`", quote(f.On)))
	}
	if f.File != "" {
		c.file(path+".file", f, place, actions)
	}
	switch {
	case f.After <= 0:
	case place.after == nil:
		var with []string
		for _, p := range places {
			if p.after != nil && p.api == place.api {
				with = append(with, p.on)
			}
		}
		c.at(path+".after", wrong("there are no bytes to count on %s: `after` is possible on %s", quote(f.On), oneOf(with)))
	case len(actions) == 0:
		c.at(path+".after", wrong("nothing happens after these bytes: `after` wants an action, "+
			"expected %s", oneOf(place.after)))
	case len(actions) == 1 && !slices.Contains(place.after, actions[0]) && slices.Contains(place.actions, actions[0]):
		c.at(path+".after", wrong("%s on %s does not wait for bytes: `after` is "+
			"possible with %s", quote(actions[0]), quote(f.On), oneOf(place.after)))
	}
}

// file checks a fault that waits for a file.
func (c *checker) file(path string, f Fault, place place, actions []string) {
	switch _, err := match(f.File, ""); {
	case err != nil:
		c.at(path, notGlob(f.File))
	case !place.files:
		var with []string
		for _, p := range places {
			if p.files {
				with = append(with, p.on)
			}
		}
		c.at(path, wrong("no file can be named on %s: `file` is possible on %s", quote(f.On), oneOf(with)))
	case f.After > 0:
		c.at(path, wrong("a fault waits either for a file or for a number of bytes, not for both"))
	case len(actions) == 0:
		c.at(path, wrong("nothing happens at this file: `file` wants an action, expected %s", oneOf(place.after)))
	}
}

// answer checks what is inside the actions.
func (c *checker) answer(path string, f Fault, place place) {
	if f.Failure != nil {
		c.failure(path+".failure", f.Failure, place)
	}
	if f.HostKey != "" && f.HostKey != "changed" {
		c.at(path+".hostkey", unknown("word", f.HostKey, []string{"changed"}))
	}
	if f.KnownHosts != nil && strings.ContainsRune(*f.KnownHosts, 0) {
		c.at(path+".known_hosts", wrong("a text without the character NUL, found %s", quote(*f.KnownHosts)))
	}
	if f.HTTP == nil {
		return
	}
	if s := f.HTTP.Status; s != 0 && (s < 200 || s > 599) {
		c.at(path+".http.status", wrong("wanted the status of a final answer, 200 to 599, found %d", s))
	}
	if !httpguts.ValidHeaderFieldValue(f.HTTP.ContentType) {
		c.at(path+".http.content_type", wrong("not the value of a header: %s", quote(f.HTTP.ContentType)))
	}
	for _, name := range slices.Sorted(maps.Keys(f.HTTP.Headers)) {
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			c.at(path+".http.headers."+name, wrong("not the name of a header: %s", quote(name)))
		case !httpguts.ValidHeaderFieldValue(f.HTTP.Headers[name]):
			c.at(path+".http.headers."+name, wrong("not the value of a header: %s", quote(f.HTTP.Headers[name])))
		}
	}
}

// failure checks a failure against the API that is to tell it.
func (c *checker) failure(path string, f *Failure, place place) {
	switch {
	case place.api == APIScript:
		keys := slices.Collect(maps.Keys(f.More))
		if f.Reason != "" {
			keys = append(keys, "reason")
		}
		slices.Sort(keys)
		for _, key := range keys {
			c.at(path+"."+key, problem{
				message:  fmt.Sprintf("a failure of the %s API has no %s", APIScript, quote(key)),
				expected: []string{"message", "form"},
			})
		}
		if f.Message == "" {
			c.at(path+".message", wrong("a failure on %s wants a `message`, which is all that is told", quote(place.on)))
		}
		c.word(path+".form", f.Form, FormResult, FormError)
		return
	case f.Reason == "":
		c.at(path+".reason", wrong("a failure wants a `reason`, such as `SERVER:ERROR`"))
	}
	if f.Form != "" {
		c.at(path+".form", wrong("a failure has a `form` on the places of the %s API only", APIScript))
	}
}

func (c *checker) upgraded(u Upgraded) {
	c.upgradedFor(u)
	switch {
	case u.Built && (u.Archive != "" || u.Missing.Archive):
		c.at("upgraded.archive", wrong("the upgraded dump is either built, or a file, or missing"))
	case u.Size < 0:
		c.at("upgraded.built", wrong("a number of bytes is not negative, found %d", u.Size))
	case u.Size > 0 && !u.Built:
		c.at("upgraded.built", wrong("only a built archive has a size"))
	}
	files, missing := u.files(), u.missing()
	for _, key := range slices.Sorted(maps.Keys(missing)) {
		if *missing[key] && files[key] != nil {
			c.at("upgraded."+key, wrong("either a file, or missing, not both"))
		}
	}
	if u.DumpName != nil && *u.DumpName != "" {
		c.at("upgraded.dump_name", dumpName(*u.DumpName))
	}
}

// upgradedKeys are the keys of `upgraded` that only one API knows.
var upgradedKeys = map[string]string{
	"sql": APIDatabase, "notes": APIDatabase, "modules": APIDatabase,
	"dump_name": APIScript, "filestore": APIScript, "report": APIScript, "log": APIScript,
}

// upgradedFor checks the keys against the API that the script is for.
func (c *checker) upgradedFor(u Upgraded) {
	given := map[string]bool{"dump_name": u.DumpName != nil}
	for key := range u.files() {
		given[key] = true
	}
	for key, missing := range u.missing() {
		given[key] = given[key] || *missing
	}
	valid := []string{"built", "archive"}
	for key, api := range upgradedKeys {
		if api == c.api {
			valid = append(valid, key)
		}
	}
	slices.Sort(valid)
	for _, key := range slices.Sorted(maps.Keys(given)) {
		if api := upgradedKeys[key]; given[key] && c.api != "" && api != "" && api != c.api {
			c.at("upgraded."+key, c.misplaced("key", key, valid))
		}
	}
	if u.Missing.Archive && c.api == APIDatabase {
		c.at("upgraded.archive", wrong("over the %s API there always is an upgraded dump: wanted a file", APIDatabase))
	}
}

// dumpName reports what is wrong with the name of a dump in /data.
func dumpName(name string) error {
	if taken := []string{"filestore", "upgrade-report.html", "upgrade.log"}; slices.Contains(taken, name) {
		return wrong("%s is the name of another file of the result", quote(name))
	}
	if name == "." || name == ".." || strings.Contains(name, "/") {
		return wrong("wanted the name of a file or directory, such as `upgraded.zip`, found %s", quote(name))
	}
	return printable(name)
}

// misplaced is what a word gets that belongs to the API that the script is not for.
func (c *checker) misplaced(what, word string, valid []string) error {
	p := unknown(what, word, valid).(problem)
	p.message = fmt.Sprintf("%s is no %s of the %s API, which `when` names", quote(word), what, c.api)
	if like := twin(word); slices.Contains(valid, like) {
		p.nearest = like
	}
	return p
}

// word checks a closed list; empty is not judged.
func (c *checker) word(path, word string, valid ...string) {
	if word != "" && !slices.Contains(valid, word) {
		c.at(path, unknown("word", word, valid))
	}
}
