"""Which pod and which container a process's cgroups name: ours beside what spire-agent 1.13.3 makes of the same texts."""

import json
import pathlib
import subprocess
import tempfile
import unittest

from node import BUILD
from peers import PEERS

THEIRS = PEERS / 'bin/containerinfo'
OURS = BUILD / 'tests/conformance/container_names'

ID = '0123456789abcdef' * 4
OTHER = '7654321089abcdef' * 4
FOREIGN = 'fedcba9876543210' * 4
POD = '00000000-1111-2222-3333-444444444444'
POD_ = POD.replace('-', '_')
SLICE = f'kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod{POD_}.slice'


def mount(root, fs_type='cgroup2', source='cgroup'):
    return f'931 930 0:26 {root} /sys/fs/cgroup ro,nosuid - {fs_type} {source} rw,nsdelegate'


# As kubelet, Docker, containerd, CRI-O and kind write them: (cgroup, mountinfo, pod, container). None: there is no such file.
SAMPLES = {
    'cgroupfs driver': (f'4:devices:/kubepods/burstable/pod{POD}/{ID}', None, POD, ID),
    'Kubernetes in Docker': (f'1:cpuset:/docker/{OTHER}/kubepods/besteffort/pod{POD}/{ID}', None, POD, ID),
    'Kubernetes in Docker, hybrid': (f'1:cpuset:/docker/{OTHER}/kubepods/besteffort/pod{POD}/{ID}\n'
                                     f'0::/docker/{OTHER}/system.slice/containerd.service', None, POD, ID),
    'Docker below kubelet, systemd driver': (f'1:cpu:/kubepods.slice/kubepods-pod{POD}.slice/docker-{ID}.scope', None, POD, ID),
    'containerd, systemd driver': (f'0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{POD_}.slice/'
                                   f'cri-containerd-{ID}.scope', None, POD, ID),
    'cgroup namespace of another pod': (f'0::/../../{SLICE}/cri-containerd-{ID}.scope', None, POD, ID),
    'cgroup namespace, cgroupfs driver': (f'0::/../../../burstable/pod{POD}/{ID}', None, POD, ID),
    'colons in one segment': (f'0::/kubepods-besteffort-pod{POD_}.slice:cri-containerd:{ID}', None, POD, ID),
    'CRI-O in the same pod': (f'0::/../crio-{ID}.scope', None, '', ID),
    'only in mountinfo': ('0::/', mount(f'/../../{SLICE}/cri-containerd-{ID}.scope'), POD, ID),
    'Docker': (f'0::/docker/{ID}', None, '', ID),
    'Docker, systemd driver': (f'1:name=systemd:/some.slice/another.slice/docker-{ID}.scope', None, '', ID),
    'a session': ('0::/user.slice/user-1000.slice/session-2.scope', None, '', ''),
    'the root': ('0::/', mount('/'), '', ''),
    'neither file': (None, None, '', ''),
    'a container id that stands for nothing': (f'0::/docker/{ID}0\n1:cpu:/x_{ID}', None, '', ''),
    'a double slash': (f'0::/docker/{ID}//x', None, '', ''),
    'a line without a pod after one with': (f'1:cpu:/kubepods/pod{POD}/{ID}\n0::/fake/{POD}/cri-containerd-{FOREIGN}.scope',
                                            None, POD, ID),
}
ERRORS = {
    'two containers': f'1:cpu:/kubepods/pod{POD}/{ID}\n0::/kubepods/pod{POD}/{OTHER}',
    'two pods': f'1:cpu:/kubepods/pod{POD}/{ID}\n0::/kubepods/pod76543210-1111-2222-3333-444444444444/{ID}',
}


@unittest.skipUnless(THEIRS.exists(), 'needs containerinfo: tests/peers.sh')
class SameContainerTest(unittest.TestCase):
    def said(self, program, cgroup, mountinfo):
        with tempfile.TemporaryDirectory() as directory:
            proc = pathlib.Path(directory) / 'proc/1'
            proc.mkdir(parents=True)
            for name, text in (('cgroup', cgroup), ('mountinfo', mountinfo)):
                if text is not None:
                    (proc / name).write_text(text + '\n', encoding='ascii')
            done = subprocess.run([program, directory], capture_output=True, text=True, check=True, timeout=60)
        return json.loads(done.stdout)

    def both(self, cgroup, mountinfo=None):
        return self.said(OURS, cgroup, mountinfo), self.said(THEIRS, cgroup, mountinfo)

    def test_the_same_texts_name_the_same_pod_and_container(self):
        for about, (cgroup, mountinfo, pod, container) in SAMPLES.items():
            with self.subTest(about):
                ours, theirs = self.both(cgroup, mountinfo)
                self.assertEqual(ours, {'pod': pod, 'container': container, 'error': ''})
                self.assertEqual(theirs, ours)

    def test_contradictions_are_errors_to_both(self):
        for about, cgroup in ERRORS.items():
            with self.subTest(about):
                ours, theirs = self.both(cgroup)
                self.assertIn(about, ours['error'])
                self.assertIn('multiple', theirs['error'])

    def test_a_static_pod_has_its_uid_only_with_us(self):
        # The kubelet makes up the UID of a static pod: 32 digits without dashes, for which spire-agent does not look.
        ours, theirs = self.both(f'0::/kubepods/pod2732ca68f6358eba7703fb6f82a25c94/{ID}')
        self.assertEqual(ours, {'pod': '2732ca68f6358eba7703fb6f82a25c94', 'container': ID, 'error': ''})
        self.assertEqual(theirs, {'pod': '', 'container': ID, 'error': ''})

    def test_a_mount_without_a_source_hides_the_container_only_from_them(self):
        ours, theirs = self.both('0::/', mount(f'/{SLICE}/cri-containerd-{ID}.scope', source=''))
        self.assertEqual(ours, {'pod': POD, 'container': ID, 'error': ''})
        self.assertIn('failed to parse mount info', theirs['error'])

    def test_what_the_kernel_says_goes_before_what_may_be_mounted_only_with_us(self):
        # Any user may make a mount namespace and mount another container's cgroup in it. spire-agent looks there first.
        forged = mount(f'/kubepods/podffffffff-ffff-ffff-ffff-ffffffffffff/{FOREIGN}')
        ours, theirs = self.both(f'0::/../{ID}', forged)
        self.assertEqual(ours, {'pod': '', 'container': ID, 'error': ''})
        self.assertEqual(theirs, {'pod': 'ffffffff-ffff-ffff-ffff-ffffffffffff', 'container': FOREIGN, 'error': ''})


if __name__ == '__main__':
    unittest.main()
