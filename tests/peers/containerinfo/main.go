// Says what spire-agent makes of /proc/PID/cgroup and /proc/PID/mountinfo: which pod and which container.
//
//	containerinfo DIR…   directories that each hold proc/1/cgroup, proc/1/mountinfo, or neither
//
// Prints one JSON object a line, in the order of the arguments.
package main

import (
	"encoding/json"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/spiffe/spire/pkg/common/containerinfo"
)

type answer struct {
	Pod       string `json:"pod"`
	Container string `json:"container"`
	Error     string `json:"error"`
}

func main() {
	out := json.NewEncoder(os.Stdout)
	for _, directory := range os.Args[1:] {
		extractor := containerinfo.Extractor{RootDir: directory}
		pod, container, err := extractor.GetPodUIDAndContainerID(1, hclog.NewNullLogger())
		said := answer{Pod: string(pod), Container: container}
		if err != nil {
			said.Error = err.Error()
		}
		if err := out.Encode(said); err != nil {
			os.Exit(1)
		}
	}
}
