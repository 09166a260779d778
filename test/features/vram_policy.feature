Feature: Where weights may live
  A worker does not start on memory that its policy does not accept. Facts that the platform does not
  report never count as proof.

  @VP-001 @VP-006 @VP-007
  Scenario: A GPU with its own memory
    When a worker is started under the policy "vram-only" on a GPU with its own memory
    Then it succeeds
    And the memory class of the worker is "device-local"
    And the worker says that its policy "vram-only" accepts "device-local"
    When 5,000 bytes of weights are sealed as "model"
    Then it succeeds
    And "model" verifies

  @VP-002 @VP-007
  Scenario Outline: Refused under vram-only: <memory>
    When a worker is started under the policy "vram-only" on <memory>
    Then it is refused as POLICY_VIOLATION
    And the refusal is fatal
    And "policy.violation" was emitted 1 time
    And "manager.opened" was emitted 0 times
    And these sentences are narrated in this order:
      | level | actor  | action           |
      | error | policy | policy_violation |

    Examples:
      | memory                                      |
      | a GPU that shares its memory with the CPU   |
      | a GPU with managed memory                   |
      | a GPU whose driver reports host memory      |
      | a GPU whose memory the system may page out  |
      | a GPU that WebGPU does not describe         |
      | a WebGPU adapter that is a CPU              |
      | an emulated driver                          |
      | a driver from an overridden path            |

  @VP-001
  Scenario Outline: Under the policy "gpu": <memory> is <class>
    When a worker is started under the policy "gpu" on <memory>
    Then it succeeds
    And the memory class of the worker is "<class>"

    Examples:
      | memory                                     | class        |
      | a GPU with its own memory               | device-local |
      | a GPU that shares its memory with the CPU  | unified      |
      | a GPU with managed memory                  | unified      |
      | a GPU whose memory the system may page out | unproven     |
      | a GPU that WebGPU does not describe        | unproven     |

  @VP-005
  Scenario Outline: Refused under the policy "gpu": <memory>
    When a worker is started under the policy "gpu" on <memory>
    Then it is refused as POLICY_VIOLATION

    Examples:
      | memory                                 |
      | a GPU whose driver reports host memory |
      | a WebGPU adapter that is a CPU         |
      | an emulated driver                     |

  @VP-005 @VP-007
  Scenario: A machine without a GPU is refused by default
    When a worker is started without naming a policy, on the memory of this machine
    Then it is refused as POLICY_VIOLATION
    And "policy.violation" was emitted 1 time

  @VP-007
  Scenario: For development any memory is accepted, and its class is still reported
    When a worker is started under the policy "any" on the memory of this machine
    Then it succeeds
    And the memory class of the worker is "host"
    And the worker says that its policy "any" accepts "device-local, unified, unproven, host"

  @VP-004 @WK-003
  Scenario: Capacity is reported before and after a seal
    Given a worker whose budget holds exactly 3 shards of 20 KiB
    Then total memory is at least used and available together
    When 20 KiB of weights are sealed as "model"
    Then it succeeds
    And total memory is at least used and available together
    And the device memory in use is that of the live shards
