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
	"github.com/google/go-cmp/cmp"
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
	if err := make(places).fromEnvironment(serve, variables); err != nil || len(variables) == 0 {
		t.Errorf("the variables %v: %v", variables, err)
	}
	if dir := serve.Flags().Lookup("data-dir").Value.String(); dir != "/data" {
		t.Errorf("the data directory is %q", dir)
	}
	if strings.Count(string(text), "USER ") != 1 {
		t.Error("the image runs as root")
	}
}

// The files of deploy configure this program: its flags, the image's ports, and a check that the image has.
func TestDeploy(t *testing.T) {
	t.Parallel()
	image, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	exposed := strings.Fields(string(regexp.MustCompile(`(?m)^EXPOSE (.*)$`).FindSubmatch(image)[1]))
	check := string(regexp.MustCompile(`(?m)^HEALTHCHECK .* CMD (\[.*\])$`).FindSubmatch(image)[1])
	check = strings.ReplaceAll(check, `"`, "")

	text, err := os.ReadFile("../../deploy/kubernetes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var kinds, container, service []string
	for doc := range strings.SplitSeq(string(text), "\n---\n") {
		var object struct {
			Kind string
			Data map[string]string
			Spec struct {
				Ports    []struct{ Port string }
				Template struct {
					Spec struct {
						Containers []struct {
							Env   []struct{ Name, Value string }
							Ports []struct {
								Port string `yaml:"containerPort"`
							}
						}
					}
				}
			}
		}
		if err := yaml.Unmarshal([]byte(doc), &object); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, object.Kind)
		if file, ok := object.Data["serve.yaml"]; ok {
			if err := make(places).fromFile(newServeCommand(), "serve.yaml", []byte(file)); err != nil {
				t.Error(err)
			}
		}
		for _, port := range object.Spec.Ports {
			service = append(service, port.Port)
		}
		for _, c := range object.Spec.Template.Spec.Containers {
			for _, port := range c.Ports {
				container = append(container, port.Port)
			}
			for _, v := range c.Env {
				if err := make(places).fromEnvironment(newServeCommand(), []string{v.Name + "=" + v.Value}); err != nil {
					t.Error(err)
				}
			}
		}
	}
	if diff := cmp.Diff([]string{"ConfigMap", "StatefulSet", "Service"}, kinds); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([][]string{exposed, exposed}, [][]string{container, service}); diff != "" {
		t.Errorf("the ports of container and service (-image +got):\n%s", diff)
	}

	if at := strings.Trim(check, "[]"); strings.Count(string(text), at) != 1 {
		t.Errorf("health is not checked by %s", at)
	}
}

// The service of Compose sets flags of this program, and has the image's check.
func TestDeploy_compose(t *testing.T) {
	t.Parallel()
	compose, err := os.ReadFile("../../deploy/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]struct {
			Environment map[string]string
			Healthcheck struct{ Test []string }
		}
	}
	if err := yaml.Unmarshal(compose, &file); err != nil {
		t.Fatal(err)
	}
	service := file.Services["upgrademock"]
	for name, value := range service.Environment {
		if err := make(places).fromEnvironment(newServeCommand(), []string{name + "=" + value}); err != nil {
			t.Error(err)
		}
	}
	if len(service.Environment) == 0 {
		t.Error("the service sets no flag")
	}
	want := []string{"CMD", "/upgrademock", "ready", "/data/ready.json"}
	if diff := cmp.Diff(want, service.Healthcheck.Test); diff != "" {
		t.Errorf("the check (-want +got):\n%s", diff)
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
