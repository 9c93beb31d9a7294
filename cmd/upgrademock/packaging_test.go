package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
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
	serve := newServeCommand()
	variables := regexp.MustCompile(`UPGRADEMOCK_SERVE_\w+=\S+`).FindAllString(string(text[strings.Index(string(text), "ENV "):]), -1)
	if err := fromEnvironment(serve, variables); err != nil || len(variables) == 0 {
		t.Errorf("the variables %v: %v", variables, err)
	}
	if dir := serve.Flags().Lookup("data-dir").Value.String(); dir != "/data" {
		t.Errorf("the data directory is %q", dir)
	}
	if strings.Count(string(text), "USER ") != 1 {
		t.Error("the image runs as root")
	}
}

// What GitHub reads is YAML, and issue forms have what their schema requires.
func TestGitHubFiles(t *testing.T) {
	t.Parallel()
	forms := 0
	err := filepath.WalkDir("../../.github", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".yml") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var form struct {
			Name, Description string
			Body              []struct {
				Type, ID   string
				Attributes struct{ Label, Value string }
			}
		}
		if err := yaml.Unmarshal(text, &form); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if filepath.Base(filepath.Dir(path)) != "ISSUE_TEMPLATE" || filepath.Base(path) == "config.yml" {
			return nil
		}
		forms++
		if form.Name == "" || form.Description == "" || len(form.Body) == 0 {
			t.Errorf("%s lacks name, description or body", path)
		}
		for _, field := range form.Body {
			if field.Type == "markdown" && field.Attributes.Value != "" {
				continue
			}
			if field.ID == "" || field.Attributes.Label == "" {
				t.Errorf("%s: a %s without id or label", path, field.Type)
			}
		}
		return nil
	})
	if err != nil || forms == 0 {
		t.Errorf("%d issue forms, %v", forms, err)
	}
}
