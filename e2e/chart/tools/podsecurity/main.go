// Command podsecurity reads rendered manifests from standard input and fails if a pod in
// them would not be admitted in a namespace that enforces the level "restricted". What
// decides is the code of Kubernetes itself.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

func main() {
	pods, refused, err := check(os.Stdin, os.Stdout)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "podsecurity:", err)
		os.Exit(2)
	case pods == 0:
		fmt.Fprintln(os.Stderr, "podsecurity: there is no pod")
		os.Exit(2)
	case refused > 0:
		os.Exit(1)
	}
	fmt.Printf("%d pods are admitted\n", pods)
}

// check counts the pods and those that are refused, and prints why.
func check(in io.Reader, out io.Writer) (pods, refused int, err error) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return 0, 0, err
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	docs := utilyaml.NewYAMLReader(bufio.NewReader(in))
	for {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return pods, refused, nil
		}
		if err != nil {
			return pods, refused, err
		}
		name, meta, spec, err := podOf(doc)
		if err != nil {
			return pods, refused, err
		}
		if spec == nil {
			continue
		}
		pods++
		if result := policy.AggregateCheckResults(evaluator.EvaluatePod(level, meta, spec)); !result.Allowed {
			refused++
			fmt.Fprintf(out, "%s: %s\n", name, result.ForbiddenDetail())
		}
	}
}

// podOf returns the pod in an object, nil if there is none.
func podOf(doc []byte) (name string, meta *metav1.ObjectMeta, spec *corev1.PodSpec, err error) {
	var head struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        metav1.ObjectMeta `json:"metadata"`
	}
	if err := yaml.Unmarshal(doc, &head); err != nil {
		return "", nil, nil, err
	}
	name = head.Kind + "/" + head.Metadata.Name
	var template *corev1.PodTemplateSpec
	switch head.Kind {
	case "Pod":
		var pod corev1.Pod
		err = yaml.UnmarshalStrict(doc, &pod)
		return name, &pod.ObjectMeta, &pod.Spec, err
	case "Deployment":
		var d appsv1.Deployment
		err, template = yaml.UnmarshalStrict(doc, &d), &d.Spec.Template
	case "StatefulSet":
		var s appsv1.StatefulSet
		err, template = yaml.UnmarshalStrict(doc, &s), &s.Spec.Template
	case "DaemonSet":
		var s appsv1.DaemonSet
		err, template = yaml.UnmarshalStrict(doc, &s), &s.Spec.Template
	case "Job":
		var j batchv1.Job
		err, template = yaml.UnmarshalStrict(doc, &j), &j.Spec.Template
	default:
		return name, nil, nil, nil
	}
	return name, &template.ObjectMeta, &template.Spec, err
}
