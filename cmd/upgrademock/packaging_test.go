package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/upgrademock/upgrademock/internal/testprog"
)

// The image's commands are commands of this program, with flags that it has.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, instruction := range []string{"ENTRYPOINT", `HEALTHCHECK .* CMD`} {
		match := regexp.MustCompile(`(?m)^` + instruction + ` (\[.*\])$`).FindSubmatch(text)
		if match == nil {
			t.Errorf("there is no %s in the form of a list", instruction)
			continue
		}
		var command []string
		if err := json.Unmarshal(match[1], &command); err != nil {
			t.Errorf("%s: %v", instruction, err)
			continue
		}
		root := newRootCommand()
		cmd, flags, err := root.Find(command[1:])
		if err != nil || command[0] != "/upgrademock" || cmd == root {
			t.Errorf("%s: %q, %v", instruction, command, err)
			continue
		}
		if err := cmd.ParseFlags(flags); err != nil {
			t.Errorf("%s: %v", instruction, err)
		}
		if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
			t.Errorf("%s: %v", instruction, err)
		}
	}
	if strings.Count(string(text), "USER ") != 1 {
		t.Error("the image runs as root")
	}
}

// The action's own steps, run by bash as a runner does.
func TestAction(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: it builds the command once more")
	}
	bash := testprog.Need(t, "bash", "bash")
	testprog.Need(t, "curl", "curl")
	text, err := os.ReadFile("../../action.yml")
	if err != nil {
		t.Fatal(err)
	}
	var action struct {
		Inputs map[string]struct{ Default string }
		Runs   struct {
			Steps []struct {
				Name, If, Run string
				Env           map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(text, &action); err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	temp := t.TempDir()
	pathFile := filepath.Join(temp, "path")

	step := func(name string, inputs map[string]string) (string, error) {
		for _, s := range action.Runs.Steps {
			if s.Name != name {
				continue
			}
			cmd := exec.Command(bash, "--noprofile", "--norc", "-eo", "pipefail", "-c", s.Run)
			cmd.Dir = temp
			cmd.Env = append(os.Environ(), "GITHUB_ACTION_PATH="+root, "RUNNER_TEMP="+temp, "GITHUB_PATH="+pathFile)
			for variable, value := range s.Env {
				for input, given := range action.Inputs {
					replaced := given.Default
					if text, ok := inputs[input]; ok {
						replaced = text
					}
					value = strings.ReplaceAll(value, "${{ inputs."+input+" }}", replaced)
				}
				cmd.Env = append(cmd.Env, variable+"="+value)
			}
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		t.Fatalf("the action has no step %q", name)
		return "", nil
	}
	if out, err := step("Install upgrademock", nil); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if path, err := os.ReadFile(pathFile); err != nil || strings.TrimSpace(string(path)) != filepath.Join(temp,
		"upgrademock") {
		t.Errorf("added to the path: %q, %v", path, err)
	}
	for _, tc := range []struct {
		name   string
		inputs map[string]string
		says   string
		fails  bool
	}{
		{"exec", map[string]string{"run": "curl -sSf https://upgrade.odoo.com/database/v1/status"}, "KEY:MISSING",
			false},
		{"exec that fails", map[string]string{"run": "false\ntrue"}, "", true},
		{"certify", map[string]string{"run": "true {dump}", "mode": "certify",
			"flags": "--pack happy-path --via https"}, "0 passed, 1 failed", true},
		{"another mode", map[string]string{"run": "true", "mode": "serve"}, "choose exec or certify", true},
	} {
		out, err := step("Run", tc.inputs)
		if (err != nil) != tc.fails || !strings.Contains(out, tc.says) {
			t.Errorf("%s: %v\n%s", tc.name, err, out)
		}
	}
}
